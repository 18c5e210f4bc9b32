"""Simulated series with one effect of real cameras or crystals each, and with all of them at once.

61 tilts of 40 x 40 positions, two crystals of some 150 nm, 250 electrons per position, scattered
kinematically on an absolute scale; a case changes what it is about. ``counting-`` merges neighbours as the contract of
the manifest says, ``sharing-`` by charges that spread.
Structures are published ones; sucrose and LuAG come from the files of the real data.
"""

from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

from adapters.formats.cif import read_structure
from tasks.simulate.demo_structure import uio66
from tasks.simulate.instruments import settings_of
from tasks.simulate.models import SimulationSettings, Structure
from tests.synthetic.real_data import real_data
from tests.synthetic.structures import diopside, forsterite, natrolite

Values = dict[str, Any]
PLAIN: Values = {
    "tilts": {"step_deg": 2.0},
    "cluster": {"crystals": 2, "size_nm": 150.0, "bad_fraction": 0.0},
    "instrument": {"scan_shape": (40, 40)},
    "scattering": {"model": "kinematical"},
}
COUNTING = {"camera": {"counting": "local-maxima-3x3"}, "manifest": {"tell": ("counting",)}}
TILTS = 61


def sucrose() -> Structure:
    """Return sucrose, P2(1), from its published refinement."""
    return read_structure(real_data() / "sucrose/DK_Zucker2_0m.cif")


def luag() -> Structure:
    """Return Lu3Al5O12, Ia-3d, from its published dynamical refinement."""
    return read_structure(real_data() / "luag/jana2020_LuAG.cif")


STRUCTURES: dict[str, Callable[[], Structure]] = {
    "uio66": uio66, "natrolite": natrolite, "forsterite": forsterite, "diopside": diopside, "sucrose": sucrose,
    "luag": luag,
}  # fmt: skip


class RealismCase(NamedTuple):
    """One series to be made; `reference` names the case that it should come out like."""

    structure: str
    values: Values
    instrument: str = "ideal"
    reference: str = "plain"

    def settings(self, seed: int) -> SimulationSettings:
        """Return the settings of one seed."""
        return settings_of(self.instrument, {**merged(PLAIN, self.values), "seed": seed})


def merged(start: Values, change: Values) -> Values:
    """Return nested values with those of `change` put over them."""
    result = deepcopy(start)
    for name, value in change.items():
        below = result.get(name)
        result[name] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def _instrument(**values: object) -> Values:
    return {"instrument": values}


def _counted(electrons: float, pile_up: str) -> RealismCase:
    instrument = merged(COUNTING, {"camera": {"pile_up": pile_up}})
    values = {"instrument": instrument, "scattering": {"electrons_per_pattern": electrons}}
    return RealismCase("uio66", values, reference=f"plain-{electrons:.0f}")


def _convergence(mrad: float) -> RealismCase:
    """Natrolite: at 1.5 mrad its discs touch. The probe is that of the convergence, the step fits the crystals."""
    return RealismCase("natrolite", _instrument(convergence_mrad=mrad), reference="convergence-0.1")


def _many_beam(structure: str, size_nm: float) -> RealismCase:
    step = size_nm / 15  # as many positions across a crystal as in the other cases
    values = {
        "cluster": {"size_nm": size_nm, "height_nm": size_nm / 2},
        "instrument": {"step_nm": step},
        "scattering": {"model": "many-beam"},
    }
    return RealismCase(structure, values, reference=f"kinematical-{size_nm:.0f}-{structure}")


def _kinematical(structure: str, size_nm: float) -> RealismCase:
    values = {name: value for name, value in _many_beam(structure, size_nm).values.items() if name != "scattering"}
    return RealismCase(structure, values)


def _damaged() -> RealismCase:
    """Half of the intensity at 1 A is gone after the series: exp(-B / 2) = 1/2 at B = 2 ln 2 = 1.386 A^2."""
    dose = 250 / 100**2 * TILTS  # electrons of a position over the area of a step of 100 A, over the series
    told = {"manifest": {"tell": ("order", "dose")}}
    return RealismCase("uio66", {"damage": {"b_factor_per_dose": 1.386 / dose}, "instrument": told})


def _everything(structure: str) -> RealismCase:
    values = {"cluster": {"bad_fraction": 0.25}, "scattering": {"model": "many-beam"}}
    return RealismCase(structure, values, instrument="4d-camera")


def _cases() -> dict[str, RealismCase]:
    edge, third = {"rectangle_px": (0, 0, 143, 575)}, {"rectangle_px": (432, 0, 575, 575), "scans": 1 / 3}
    cases = {"plain": RealismCase("uio66", {})}
    for electrons in (50, 250, 500):
        cases[f"plain-{electrons}"] = RealismCase("uio66", {"scattering": {"electrons_per_pattern": float(electrons)}})
        cases[f"counting-{electrons}"] = _counted(electrons, "random-marks")
        cases[f"sharing-{electrons}"] = _counted(electrons, "charge-sharing")
    cases["sector"] = RealismCase("uio66", _instrument(sensor={"regions": (edge, third)}))
    cases["sector-of-the-beam"] = RealismCase(
        "uio66", _instrument(sensor={"regions": ({"rectangle_px": (144, 0, 287, 575)},)})
    )
    cases["beam-stop"] = RealismCase("uio66", _instrument(beam_stop={"shape": "bar", "radius_px": 9.0}))
    cases["dead-rows"] = RealismCase("uio66", _instrument(sensor={"dead_rows": 10}))
    cases |= {f"convergence-{mrad}": _convergence(mrad) for mrad in (0.1, 0.5, 1.0, 1.5)}
    for structure in ("uio66", "natrolite", "sucrose", "forsterite"):
        for size in (40, 80, 150):
            cases[f"kinematical-{size}-{structure}"] = _kinematical(structure, size)
            cases[f"many-beam-{size}-{structure}"] = _many_beam(structure, size)
    cases["drift"] = RealismCase("uio66", _instrument(scan_drift_steps=(3.0, 0.0), scan_shear_steps=2.0))
    cases["shifted-rows"] = RealismCase("uio66", _instrument(scan_faults={"shifted_rows": 0.1}))
    cases["lost-frames"] = RealismCase("uio66", _instrument(scan_faults={"frames_lost": 0.02}))
    cases["damage"] = _damaged()
    cases["camera-length"] = RealismCase("uio66", _instrument(manifest={"camera_length_factor": 1.03}))
    cases["energy"] = RealismCase("uio66", _instrument(energy_kev=300.0, manifest={"energy_kev": 200.0}))
    cases |= {f"everything-{one}": _everything(one) for one in ("uio66", "natrolite", "forsterite", "sucrose", "luag")}
    return cases


CASES = _cases()
