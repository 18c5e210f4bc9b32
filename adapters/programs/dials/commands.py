"""The command lines of the DIALS programs: pure functions that return argument lists."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from adapters.programs.rectangles import mask_rectangles
from tasks.frames import FrameSeries
from tasks.model import UnitCell, Vector

LARGEST_PIXEL = 2**31 - 2
"""What frames written for DIALS hold at most (`formats.cbf.CUTOFF`)."""
MIN_SWEEP_FRAMES = 3
"""Two frames are always equally spaced; three are the fewest whose spacing says that a scan fits them."""
MIN_SCAN_VARYING_FRAMES = 10
"""Fewer say nothing of a drift. Chosen, not measured: each parameter takes two or more values over the scan, which
fewer frames would fit to their own errors."""
CANDIDATE_LATTICES = 12
"""Refined on indexing; the program's own 50 take half as long again and are left for a retry."""
LARGEST_DENOMINATOR = 6
"""Of the elements of a change of basis: halves and thirds come from centrings, sixths from both."""
ROUNDING = 1e-3
"""By which an element may differ from its fraction: double precision leaves 1e-12, fractions are 0.03 apart."""

STATIC_REFINEMENT = ("detector.fix=distance", "scan_varying=False")
SCAN_VARYING_REFINEMENT = (
    "scan_varying=True",
    "detector.fix=all",
    "beam.fix=all in_spindle_plane out_spindle_plane *wavelength",
    "beam.force_static=False",
    "beam.smoother.absolute_num_intervals=1",
)
"""Distance and cell are correlated at these wavelengths, so the distance stays; the beam may drift through the scan."""


def import_argv(series: FrameSeries, templates: Sequence[str]) -> list[str]:
    """Import CBF frames with the geometry stated explicitly: axis, trusted range and gain are not in the files."""
    low = -1.0 - max(0.0, series.pedestal)
    high = LARGEST_PIXEL if series.saturation is None else series.saturation - series.pedestal
    slow, fast = series.direct_beam_px
    return [
        "dials.import",
        *(f"template={template}" for template in templates),
        f"geometry.goniometer.axis={_numbers(series.rotation_axis)}",
        f"geometry.detector.fast_slow_beam_centre={fast + 0.5:.9g},{slow + 0.5:.9g}",
        f"geometry.detector.distance={series.detector.camera_length_mm:.12g}",
        f"panel.trusted_range={low:.9g},{high:.12g}",
        f"panel.gain={series.gain:.9g}",
        "output.experiments=imported.expt",
    ]


def find_spots_argv(*, change: Sequence[str], d_max: float | None, d_min: float | None, nproc: int) -> list[str]:
    """Find strong spots; `change` holds the one parameter that a retry changes."""
    limits = [f"spotfinder.filter.d_max={d_max:.9g}"] if d_max else []
    limits += [f"spotfinder.filter.d_min={d_min:.9g}"] if d_min else []
    return ["dials.find_spots", "imported.expt", f"nproc={nproc}", "output.reflections=strong.refl", *limits, *change]


def index_argv(
    *, experiments: str, name: str, change: Sequence[str], cell: UnitCell | None, space_group: str | None, nproc: int
) -> list[str]:
    """Index the strong spots; the distance is fixed, the cell free unless one is known."""
    known = [] if cell is None else [f"unit_cell={_numbers(cell.parameters)}"]
    known += [] if space_group is None else [f"space_group={space_group}"]
    return [
        "dials.index",
        experiments,
        "strong.refl",
        "detector.fix=distance",
        f"basis_vector_combinations.max_refine={CANDIDATE_LATTICES}",
        "indexing.joint_indexing=True",  # 3.27 and later refuse several sweeps without it
        f"nproc={nproc}",
        f"output.experiments={name}.expt",
        f"output.reflections={name}.refl",
        f"output.log={name}.log",
        *known,
        *change,
    ]


def bravais_argv(nproc: int) -> list[str]:
    """Refine in every Bravais setting that the lattice allows."""
    files = ["indexed.expt", "indexed.refl"]
    return ["dials.refine_bravais_settings", *files, "detector.fix=distance", f"nproc={nproc}"]


def reindex_argv(*, experiments: str, reflections: str, change: str, space_group: str | None, name: str) -> list[str]:
    """Change the basis; `change` in terms of the axes (a,b,c) or the indices (h,k,l)."""
    return [
        "dials.reindex",
        *(part for part in (experiments, reflections) if part),
        f"change_of_basis_op={change}",
        *([] if space_group is None else [f"space_group={space_group}"]),
        f"output.experiments={name}.expt",
        f"output.reflections={name}.refl",
    ]


def refine_argv(*, source: tuple[str, str], name: str, recipe: Sequence[str]) -> list[str]:
    """Refine the geometry and the crystal."""
    return [
        "dials.refine",
        *source,
        *recipe,
        f"output.experiments={name}.expt",
        f"output.reflections={name}.refl",
        f"output.log={name}.log",
    ]


def integrate_argv(*, source: tuple[str, str], d_min: float | None, change: Sequence[str], nproc: int) -> list[str]:
    """Integrate by profile fitting and summation."""
    limit = [] if d_min is None else [f"prediction.d_min={d_min:.9g}"]
    return [
        "dials.integrate",
        *source,
        f"nproc={nproc}",
        "output.experiments=integrated.expt",
        "output.reflections=integrated.refl",
        *limit,
        *change,
    ]


def symmetry_argv() -> list[str]:
    """Ask DIALS's own opinion of the Laue group: a cross-check only."""
    files = ["integrated.expt", "integrated.refl"]
    return ["dials.symmetry", *files, "output.experiments=symmetrized.expt", "output.reflections=symmetrized.refl"]


def scale_argv(*, change: Sequence[str]) -> list[str]:
    """Scale the reindexed observations, Friedel mates as equivalents."""
    return [
        "dials.scale",
        "reindexed.expt",
        "reindexed.refl",
        "anomalous=False",
        "output.experiments=scaled.expt",
        "output.reflections=scaled.refl",
        *change,
    ]


def export_argv(*, source: tuple[str, str], intensity: str, name: str) -> list[str]:
    """Write unmerged intensities as MTZ."""
    return ["dials.export", *source, "format=mtz", f"intensity={intensity}", f"mtz.hklout={name}.mtz"]


def mask_phil(mask: NDArray[np.bool_]) -> str:
    """Return dials.generate_mask's parameters for the invalid pixels of a mask (slow, fast)."""
    return "".join(f"untrusted {{\n  rectangle = {x0} {x1} {y0} {y1}\n}}\n" for x0, x1, y0, y1 in mask_rectangles(mask))


def basis_change(basis: NDArray[np.float64]) -> str:
    """Return cctbx's notation of new indices ``hkl @ basis``: 'h+k,-h+k,l'.

    A lattice that was indexed as centred and is primitive has fractions there: '1/2*h-1/2*l'.

    Raises
    ------
    ValueError
        If an element is no fraction with a denominator up to 6, as those of bases of one lattice are.
    """
    parts = []
    for column in basis.T:
        terms = []
        for value, index in zip(column.tolist(), "hkl", strict=True):
            exact = Fraction(value).limit_denominator(LARGEST_DENOMINATOR)
            if abs(float(exact) - value) > ROUNDING:
                raise ValueError(f"{value} in a change of basis is no simple fraction")
            if exact:
                factor = "" if abs(exact) == 1 else f"{abs(exact)}*"
                terms.append(f"{'+' if exact > 0 else '-'}{factor}{index}")
        parts.append("".join(terms).removeprefix("+") or "0")
    return ",".join(parts)


def _numbers(values: Sequence[float] | Vector) -> str:
    return ",".join(f"{value:.9g}" for value in values)
