"""Spots, both senses of the rotation axis, and a lattice: with retries that change one parameter each."""

import math
from typing import NamedTuple

from adapters.programs.dials.commands import find_spots_argv, index_argv
from adapters.programs.dials.output import (
    IndexingResult,
    best_candidate,
    indexing_result,
    reversed_goniometers,
    spot_count,
)
from adapters.programs.dials.session import Session
from adapters.programs.dials.settings import DialsSettings
from tasks.frames import FrameSeries
from tasks.integrate import AxisTest
from tasks.model import NotIndexedError, Vector

GOOD_FRACTION = 0.6
"""Indexed share at which no other parameters are tried; 0.8 is usual for good data."""

SPOT_TRIALS: tuple[tuple[str, str], ...] = (
    ("", "the program's defaults"),
    ("spotfinder.filter.min_spot_size=2", "spots of a nearly parallel beam may cover few pixels"),
    ("spotfinder.threshold.dispersion.sigma_strong=2", "weak diffraction"),
    ("spotfinder.threshold.algorithm=radial_profile", "diffuse background may hide spots from a local threshold"),
)
INDEX_TRIALS: tuple[tuple[str, str], ...] = (
    ("", "twelve candidate lattices"),
    ("basis_vector_combinations.max_refine=50", "the right lattice may be further down the list"),
    ("indexing.method=fft1d", "one-dimensional transforms find a lattice from fewer spots"),
    ("max_cell=60", "the longest axis may have been estimated too small"),
    ("max_cell=15", "the longest axis may have been estimated too large"),
)


MAX_INDEX_TRIALS = 5
"""As many as INDEX_TRIALS lists: lattices that the program did not take replace some, so that time stays bounded."""
MUCH_MORE = 1.2
"""Ratio of indexed shares. A lattice of half the volume indexed 46 % where a listed one had 83 %, a ratio of 1.8
(tests/unit/programs/dials/test_output.py). Chosen, not measured, between this and the 1.0 of equal lattices."""


class SenseResult(NamedTuple):
    """One sense of the axis, indexed."""

    result: IndexingResult | None
    complaint: str

    def error_px(self, radius_px: float) -> float:
        """Return the RMSD in px, the rotational part taken at this distance from the direct beam."""
        if self.result is None or self.result.rmsd_px is None:
            return math.inf
        turn = math.radians(self.result.rmsd_deg or 0.0) * radius_px
        return math.hypot(self.result.rmsd_px, turn)

    @property
    def fraction(self) -> float:
        """Indexed share of the spots."""
        return 0.0 if self.result is None else self.result.fraction


class Indexed(NamedTuple):
    """The lattice that was found; its files are indexed.expt and indexed.refl."""

    fraction: float
    spots: int
    axis_test: AxisTest


def find_and_index(session: Session, series: FrameSeries, settings: DialsSettings) -> Indexed:
    """Find spots and index them; stop at the first good result, else take the best.

    Raises
    ------
    NotIndexedError
        If there are too few spots or no lattice indexes enough of them.
    """
    best: Indexed | None = None
    most = 0
    for change, reason in SPOT_TRIALS:
        spots = _spots(session, (change, reason), settings)
        if spots < settings.min_spots or spots == most:
            continue
        most = max(most, spots)
        found = _best_lattice(session, series, settings, spots, best)
        if found is not None and (best is None or found.fraction > best.fraction):
            best = found
        if best is not None and best.fraction >= settings.min_indexed_fraction:
            return best
    raise _not_indexed(series, most, best, settings)


def _best_lattice(
    session: Session, series: FrameSeries, settings: DialsSettings, spots: int, before: Indexed | None
) -> Indexed | None:
    """Index with one parameter changed after the other until the share is good; keep the best in indexed.*."""
    best = before
    waiting = list(INDEX_TRIALS)
    tried: set[str] = set()
    while waiting and len(tried) < MAX_INDEX_TRIALS:
        trial = waiting.pop(0)
        tried.add(trial[0])
        found = _index_both(session, series, settings, trial, spots)
        if found is not None and (best is None or found.fraction > best.fraction):
            best = found
            _keep(session)
        if best is not None and best.fraction >= GOOD_FRACTION:
            break
        other = _other_candidate(session, found) if settings.known_cell is None else None
        if other is not None and other[0] not in tried:
            waiting.insert(0, other)
    return best


def _other_candidate(session: Session, found: Indexed | None) -> tuple[str, str] | None:
    """Return the trial of a listed lattice that indexes many more spots than the one the program took."""
    names = ["index_given.out", "index_turned.out"]
    if found is not None:
        names = names[1:] if found.axis_test.reversed else names[:1]
    listed = [candidate for name in names if (candidate := best_candidate(session.text(name))) is not None]
    if not listed:
        return None
    share, cell = max(listed)
    if share < MUCH_MORE * (0.0 if found is None else found.fraction):
        return None
    return f"unit_cell={cell}", f"a lattice that the program listed and did not take indexes {share:.0%}"


def _not_indexed(series: FrameSeries, spots: int, best: Indexed | None, settings: DialsSettings) -> NotIndexedError:
    if spots < settings.min_spots:
        return NotIndexedError(
            f"{series.id}: DIALS found {spots} spots on {len(series.frames)} frames, {settings.min_spots} are needed",
            "is there diffraction? check the aperture, the gain and the direct beam",
        )
    share = "none" if best is None else f"{best.fraction:.0%}"
    least = settings.min_indexed_fraction
    return NotIndexedError(
        f"{series.id}: no lattice indexes at least {least:.0%} of {spots} spots (best: {share})",
        "check camera length, rotation axis, tilt angles and whether the aperture holds one crystal only",
    )


def _spots(session: Session, trial: tuple[str, str], settings: DialsSettings) -> int:
    change, reason = trial
    argv = find_spots_argv(
        change=[change] if change else [],
        d_max=settings.d_max_angstrom,
        d_min=settings.d_min_angstrom,
        nproc=settings.nproc,
    )
    complaint = session.attempt(argv, outputs=["strong.refl"])
    spots = 0 if complaint else spot_count(session.text("dials.find_spots.out"))
    session.record(change or "find spots", reason, complaint or f"{spots} spots")
    return spots


def _index_both(
    session: Session, series: FrameSeries, settings: DialsSettings, trial: tuple[str, str], spots: int
) -> Indexed | None:
    """Index with the axis as given and turned round; leave the winner in winner.expt and winner.refl."""
    change, reason = trial
    (session.folder / "reversed.expt").write_text(reversed_goniometers(session.text("imported.expt")))
    senses = []
    for experiments, name in (("imported.expt", "given"), ("reversed.expt", "turned")):
        argv = index_argv(
            experiments=experiments,
            name=name,
            change=[change] if change else [],
            cell=settings.known_cell,
            space_group=settings.space_group,
            nproc=settings.nproc,
        )
        complaint = session.attempt(argv, outputs=[f"{name}.expt", f"{name}.refl"], log_name=f"index_{name}")
        result = None if complaint else indexing_result(session.text(f"index_{name}.out"))
        senses.append(SenseResult(result, complaint or ""))
    test = axis_verdict(series.rotation_axis, senses[0], senses[1], radius_px=min(series.detector.shape_px) / 4)
    session.record(change or "index", reason, test.verdict)
    winner = senses[int(test.reversed)]
    if winner.result is None:
        return None
    for suffix in ("expt", "refl"):
        (session.folder / f"{'turned' if test.reversed else 'given'}.{suffix}").replace(
            session.folder / f"winner.{suffix}"
        )
    return Indexed(winner.fraction, spots, test)


def _keep(session: Session) -> None:
    for suffix in ("expt", "refl"):
        (session.folder / f"winner.{suffix}").replace(session.folder / f"indexed.{suffix}")


def axis_verdict(axis: Vector, given: SenseResult, turned: SenseResult, *, radius_px: float) -> AxisTest:
    """Compare the two senses of the axis: indexed share over RMSD, the rotational part included.

    With the wrong sense a small unit cell may be indexed as completely as with the right one, and fit as well in the
    plane of the detector: what is wrong then is the angle (measured: 0.34 against 5.3 frames at equal indexed shares).
    """
    errors = [sense.error_px(radius_px) for sense in (given, turned)]
    figures = [sense.fraction / (0.2 + error) for sense, error in zip((given, turned), errors, strict=True)]
    is_reversed = figures[1] > figures[0]
    x, y, z = axis
    shown = [None if math.isinf(error) else round(error, 4) for error in errors]
    texts = [
        f"{name} {sense.fraction:.0%} indexed"
        + ("" if error is None else f", rmsd {error:.2f} px")
        + (f" ({sense.complaint[:80]})" if sense.complaint else "")
        for name, sense, error in zip(("as given", "reversed"), (given, turned), shown, strict=True)
    ]
    top, low = max(figures), min(figures)
    clarity = "no lattice" if top == 0 else "clear" if top > 1.5 * low else "not clear: the senses fit alike"
    return AxisTest(
        axis=(-x, -y, -z) if is_reversed else axis,
        reversed=is_reversed,
        indexed_fraction=(given.fraction, turned.fraction),
        rmsd_px=(shown[0], shown[1]),
        verdict=f"{'reversed' if is_reversed else 'as given'}, {clarity}: {'; '.join(texts)}",
    )
