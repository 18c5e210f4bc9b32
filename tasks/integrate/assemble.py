"""From observations to a Reflections document: outliers, merging, statistics, space groups, files."""

from pathlib import Path
from typing import Literal, NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.miller import centring_allows
from tasks.crystal.symmetry import space_group
from tasks.integrate.hklf4 import hklf4_text
from tasks.integrate.merging.equivalents import (
    keep_consistent,
    merge_equivalents,
    observations_at,
)
from tasks.integrate.merging.statistics import merging_statistics
from tasks.integrate.models import (
    AxisTest,
    CellEsd,
    CellScale,
    CountingLoss,
    Damage,
    DiscFigures,
    Reflections,
    SpaceGroupCandidate,
)
from tasks.integrate.overlaps import DomainOverlaps, write_overlaps
from tasks.integrate.reflection_file import Merged, Unmerged, write_reflections
from tasks.integrate.symmetry.laue import LaueChoice, determine_laue_group
from tasks.integrate.symmetry.space_groups import rank_space_groups
from tasks.model import FileRef, SourceError, UnitCell
from tasks.model.provenance import Provenance

MIN_PROBABILITY = 0.7
"""Probability of the Laue group below which a warning names the others. Chosen, not measured: near one every weak set
would be called uncertain; at one half a group that is wrong as often as right would pass without a word."""


class Particulars(NamedTuple):
    """What the engine knows beside the observations; goes into the document as it is."""

    wavelength_angstrom: float
    provenance: Provenance
    members: tuple[str, ...] = ()
    radiation: Literal["electron", "xray"] = "electron"
    unit_cell_esd: CellEsd | None = None
    cell_scale: CellScale | None = None
    indexed_fraction: float | None = None
    spots: int | None = None
    axis_test: AxisTest | None = None
    pictures: FileRef | None = None
    traces: FileRef | None = None
    counting: CountingLoss | None = None
    discs: DiscFigures | None = None
    damage: Damage | None = None
    overlaps: DomainOverlaps | None = None
    """In the axes that the observations come in."""
    warnings: tuple[str, ...] = ()


def reflections_from_observations(
    name: str,
    data: Unmerged,
    cell: UnitCell,
    particulars: Particulars,
    *,
    workdir: Path,
    halves: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    consistent: NDArray[np.bool_] | None = None,
) -> Reflections:
    """Find the Laue group, bring the observations to the conventional cell and assemble the document.

    Parameters
    ----------
    data
        Observations on one scale in any primitive or centred cell; indices refer to `cell`.
    halves
        See `merging_statistics`.
    consistent
        See `assemble_reflections`.
    """
    choice = determine_laue_group(data, cell)
    said = reindexed(particulars, choice)._replace(warnings=(*particulars.warnings, *laue_warnings(choice)))
    return assemble_reflections(
        name,
        data._replace(hkl=choice.reindex(data.hkl)),
        choice.cell,
        said,
        laue=choice.laue,
        workdir=workdir,
        halves=halves,
        consistent=consistent,
    )


def assemble_reflections(
    name: str,
    data: Unmerged,
    cell: UnitCell,
    particulars: Particulars,
    *,
    laue: gemmi.SpaceGroup,
    workdir: Path,
    space_group: str | None = None,
    halves: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None,
    consistent: NDArray[np.bool_] | None = None,
) -> Reflections:
    """Write unmerged.npz, merged.npz, the .hkl and the .mtz of observations in a known Laue group.

    Reflections that the centring forbids and outliers are left out, with a warning that counts them.

    Parameters
    ----------
    space_group
        Symbol that a user gave: put first among the candidates whatever the data say.
    consistent
        (n,) observations that agree with their equivalents; None = to be told from their scatter.

    Raises
    ------
    SourceError
        If no observation is left.
    """
    data, halves, warnings = _clean(name, data, laue, halves, consistent)
    merged = merge_equivalents(data, laue)
    candidates = rank_space_groups(merged, laue, cell)
    if space_group is not None:
        candidates = _put_first(candidates, space_group)
    figures = merging_statistics(data, laue, cell, halves=halves)
    hkl_path = workdir / f"{name}.hkl"
    hkl_path.write_text(hklf4_text(data.hkl, data.intensity, data.sigma), encoding="ascii")
    mtz_path = workdir / f"{name}.mtz"
    write_merged_mtz(merged, cell, candidates[0].symbol, particulars.wavelength_angstrom, path=mtz_path)
    return Reflections(
        id=name,
        members=particulars.members or (name,),
        radiation=particulars.radiation,
        wavelength_angstrom=particulars.wavelength_angstrom,
        unit_cell=cell,
        unit_cell_esd=particulars.unit_cell_esd,
        cell_scale=particulars.cell_scale,
        laue_group=laue.xhm(),
        space_group=candidates[0].symbol,
        candidates=candidates,
        overall=figures.overall,
        shells=figures.shells,
        indexed_fraction=particulars.indexed_fraction,
        spots=particulars.spots,
        axis_test=particulars.axis_test,
        unmerged=write_reflections(data, workdir / "unmerged.npz"),
        merged=write_reflections(merged, workdir / "merged.npz"),
        hklf4=FileRef.of(hkl_path),
        mtz=FileRef.of(mtz_path),
        pictures=particulars.pictures,
        traces=particulars.traces,
        counting=particulars.counting,
        discs=particulars.discs,
        damage=particulars.damage,
        overlaps=None
        if particulars.overlaps is None
        else write_overlaps(particulars.overlaps, workdir / "overlaps.npz"),
        warnings=(*particulars.warnings, *warnings),
        provenance=particulars.provenance,
    )


def reindexed(particulars: Particulars, choice: LaueChoice) -> Particulars:
    """Return the same in the axes of the Laue group that was chosen."""
    overlaps = particulars.overlaps
    if overlaps is None:
        return particulars
    return particulars._replace(overlaps=overlaps.reindexed(choice.reindex(overlaps.hkl)))


def laue_warnings(choice: LaueChoice) -> tuple[str, ...]:
    """Return what a reader must know about an uncertain Laue group, with the runner-up."""
    if choice.laue.number > 2 and choice.trials[0].mean_correlation is None:
        return (
            f"the Laue group {choice.laue.xhm()} is that of the cell: the data hold no equivalents to test it with",
        )
    if choice.probability >= MIN_PROBABILITY:
        return ()
    others = [t for t in choice.trials[1:4] if t.probability > 0.02]
    text = ", ".join(f"{t.symbol} {t.probability:.2f}" for t in others)
    return (f"the Laue group {choice.laue.xhm()} is uncertain: probability {choice.probability:.2f}; others: {text}",)


def write_merged_mtz(merged: Merged, cell: UnitCell, symbol: str, wavelength: float, *, path: Path) -> None:
    """Write merged intensities as an MTZ file with the columns H K L IMEAN SIGIMEAN."""
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = space_group(symbol)
    mtz.set_cell_for_all(cell.gemmi())
    dataset = mtz.add_dataset("apertura")
    dataset.wavelength = wavelength
    mtz.add_column("IMEAN", "J")
    mtz.add_column("SIGIMEAN", "Q")
    mtz.set_data(np.column_stack([merged.hkl, merged.intensity, merged.sigma]).astype(np.float32))
    mtz.write_to_file(str(path))


def _clean(
    name: str,
    data: Unmerged,
    laue: gemmi.SpaceGroup,
    halves: tuple[NDArray[np.float64], NDArray[np.float64]] | None,
    agreeing: NDArray[np.bool_] | None,
) -> tuple[Unmerged, tuple[NDArray[np.float64], NDArray[np.float64]] | None, tuple[str, ...]]:
    """Drop what the centring forbids, what has no meaning and outliers; say how many."""
    meaningful = np.isfinite(data.intensity) & (data.sigma > 0) & np.any(data.hkl != 0, axis=1)
    forbidden = ~centring_allows(data.hkl, laue.operations())
    keep = meaningful & ~forbidden
    if not np.any(keep):
        raise SourceError(f"{name}: no usable reflection in {laue.xhm()}", "check the cell and the space group")
    first = np.flatnonzero(keep)
    consistent = keep_consistent(observations_at(data, first), laue) if agreeing is None else agreeing[first]
    rows = first[consistent]
    counts = {
        "without a positive sigma or a finite intensity": int(np.count_nonzero(~meaningful)),
        "forbidden by the centring": int(np.count_nonzero(meaningful & forbidden)),
        "outliers among their equivalents": int(np.count_nonzero(~consistent)),
    }
    warnings = tuple(f"{n} of {len(keep)} observations left out: {why}" for why, n in counts.items() if n)
    return observations_at(data, rows), None if halves is None else (halves[0][rows], halves[1][rows]), warnings


def _put_first(candidates: tuple[SpaceGroupCandidate, ...], symbol: str) -> tuple[SpaceGroupCandidate, ...]:
    """Move the group a user gave to the front; add it if the setting is not among the candidates."""
    given = space_group(symbol)
    found = next((c for c in candidates if c.hall == given.hall or c.symbol == given.xhm()), None)
    best = max(c.score for c in candidates)
    reasons = ("given by the user", *(found.reasons if found else ()))
    first = SpaceGroupCandidate(symbol=given.xhm(), hall=given.hall, score=best + 1.0, reasons=reasons)
    return (first, *(c for c in candidates if c is not found))
