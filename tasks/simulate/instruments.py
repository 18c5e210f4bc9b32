"""Named instruments: settings that belong together, each to be changed one by one.

`ideal` is that of the defaults: every electron in its pixel, nothing broken. The numbers of the other two are chosen as
typical, not measured on one instrument, unless a source stands beside them; each is one setting of
`SimulationSettings`.
"""

from typing import Any

from tasks.model import SettingsError
from tasks.simulate.models import SimulationSettings

# What a real crystal does to the beam whatever the camera; the mean free path is in the middle of the published range
# (Iakoubovskii et al., Microsc. Res. Tech. 71, 626-631, 2008), the other table of factors keeps simulation and
# refinement apart.
SCATTERING: dict[str, Any] = {"model": "many-beam", "table": "mott-bethe", "inelastic_mean_free_path_nm": 150.0}
INSTRUMENTS: dict[str, dict[str, Any]] = {
    "ideal": {},
    # Ercius et al., Microsc. Microanal. 30, 903 (2024): 576 x 576 px of 10 um, 87 kHz, electrons counted as 3 x 3 local
    # maxima of one camera frame for each position; four sectors of 144 rows are read out by four computers, each of
    # which may miss a frame or a scan. Cosmic tracks: 1 per cm^2 and min at sea level would be 6e-8 in a frame; a
    # hundred times as many give a series some.
    "4d-camera": {
        "instrument": {
            "energy_kev": 300.0,
            "shape_px": (576, 576),
            "pixel_size_mm": 0.01,
            "camera_length_mm": 110.0,
            "convergence_mrad": 0.5,
            "point_spread_px": 0.3,  # the camera spreads the charge itself
            "descan_px": (3.0, 2.0),
            "camera": {
                "counting": "local-maxima-3x3",
                "frames_per_position": 1,
                "efficiency": 0.95,
                "efficiency_spread": 0.02,
                "dark_counts": 0.3,
                "cosmic_hits": 1e-5,
            },
            "sensor": {
                "dead_pixels": 40,
                "hot_pixels": 6,
                "hot_rate": 0.2,
                "sector_px": (144, 576),
                "sector_scans": 0.005,
                "sector_frames": 0.001,
            },
            "scan_faults": {"frames_lost": 0.005, "descan_quadratic_px": (0.4, 0.3)},
            "manifest": {"tell": ("counting", "convergence", "order", "dose")},
        },
        "scattering": SCATTERING,
        "cluster": {"debris": 1},
    },
    # Four Medipix chips of 256 x 256 px of 55 um with a cross of wider pixels between them, which is left out (Plackett
    # et al., J. Instrum. 8, C01038, 2013); charge summing puts every electron into one pixel.
    "hybrid-pixel": {
        "instrument": {
            "energy_kev": 200.0,
            "shape_px": (512, 512),
            "pixel_size_mm": 0.055,
            "camera_length_mm": 560.0,
            "direct_beam_px": (232.0, 281.0),  # beside the cross
            "convergence_mrad": 0.4,
            "camera": {"counting": "ideal", "frames_per_position": 4, "efficiency": 0.9},
            "sensor": {
                "regions": (
                    {"rectangle_px": (255, 0, 256, 511)},
                    {"rectangle_px": (0, 255, 511, 256)},
                ),
                "dead_pixels": 20,
            },
            "manifest": {"detector_name": "hybrid pixel detector", "tell": ("counting", "convergence", "order")},
        },
        "scattering": SCATTERING,
    },
}
"""Nested values of `SimulationSettings` that differ from the defaults, by the name of the instrument."""


def settings_of(instrument: str, values: dict[str, Any]) -> SimulationSettings:
    """Return the settings of a named instrument, changed by nested `values`.

    Raises
    ------
    SettingsError
        If there is no instrument of this name.
    pydantic.ValidationError
        If a value is refused.
    """
    if instrument not in INSTRUMENTS:
        raise SettingsError(f"instrument {instrument!r} is not known", f"choose one of {', '.join(INSTRUMENTS)}")
    return SimulationSettings.model_validate(_changed(INSTRUMENTS[instrument], values))


def _changed(start: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    result = dict(start)
    for name, value in values.items():
        below = result.get(name)
        result[name] = _changed(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result
