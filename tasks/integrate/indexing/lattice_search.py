"""From spots to a refined lattice: axis, indexing, geometry, further lattices, a known cell."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.integrate.geometry.mapping import (
    Crystal,
    Geometry,
    detector_px,
    excitation_error,
    laboratory_q,
    orientations,
)
from tasks.integrate.geometry.refinement import Refined, refine_geometry
from tasks.integrate.geometry.state import Freedom
from tasks.integrate.indexing.axis_search import (
    TOLERANCE_PX,
    IndexedLattice,
    Senses,
    along_other_azimuths,
    both_senses,
    index_with,
    merit,
)
from tasks.integrate.indexing.axis_verdict import Tried, axis_test, is_reversed
from tasks.integrate.indexing.known_cell import tied_to_cell
from tasks.integrate.indexing.lattice_score import cell_parameters, reduced
from tasks.integrate.indexing.twin_lattices import same_lattice, sparse_sublattices
from tasks.integrate.models import AxisTest
from tasks.integrate.settings import IntegrationSettings
from tasks.integrate.spots.images import SpotSearch
from tasks.integrate.spots.spot_search import Spots
from tasks.model import NotIndexedError

REINDEX_CYCLES = 2
"""Refinements, each with the spots indexed by the one before. Chosen, not measured: the second takes in what a wrong
axis or beam had put off; each costs a whole refinement."""
GOOD_FRACTION = 0.8
"""Fraction of the spots explained at which the axis is not searched: as a rule of electron diffraction around 80 %
indexed is good."""
FURTHER_FRACTION = 0.15
"""Spots left over, of all, that are worth a search for a further lattice. Chosen, not measured: data indexed to 85 %
are good as they are, and each search costs as much as the first."""
FURTHER_SCORE = 0.5
"""Share of the rest, beyond chance, that a further lattice must index to be reported. Chosen, not measured: rings and
noise stay below 0.3 (tests/unit/integrate/indexing/test_indexing.py); a lattice that is not there misleads."""
MOST_FURTHER = 3
"""Lattices beside the first: with it four crystals, the most that were simulated in one aperture (four of equal
strength are refused, 6 of 6, tests/benchmarks/RESULTS.md)."""
WORTH_REFINING = 0.5
"""Score that a lattice needs before refinement, over min_indexed_fraction. Chosen, not measured: refinement brings in
spots, so half may become enough; refining whatever was found costs time."""
FAR_BEHIND = 0.4
"""Merit of a sense of the axis, over that of the better one, below which it is not refined. Chosen, not measured: it
saves the time of a refinement that could not win; the verdict then says that this sense was not refined."""
AS_MANY = 0.1
"""Share of the spots by which two orientations of a small cell may explain fewer than the large cell that holds both,
whose many points index some by chance. Chosen, not measured."""
WORTH_AN_ELLIPSE = 0.97
"""Residual that the ellipse must leave, over that without: its own part is then a quarter of the rest (sqrt(1 / 0.97^2
- 1)). Chosen, not measured: one parameter always gains something by following the errors of the frames."""


class Solved(NamedTuple):
    """The indexed series: refined geometry and crystal, the axis test, the fraction indexed, what was noticed.

    ``straight``: stretched frames were put right by the metric of the lattice.
    """

    refined: Refined
    axis_test: AxisTest
    fraction: float
    warnings: tuple[str, ...]
    straight: bool = False


def solve_lattice(geometry: Geometry, search: SpotSearch, frames: int, settings: IntegrationSettings) -> Solved:
    """Find and refine the strongest lattice in a triclinic cell.

    Raises
    ------
    NotIndexedError
        If there are too few spots, no lattice, or one that explains too little, with the evidence.
    """
    spots = search.spots
    if len(spots.frame) < settings.min_spots:
        raise NotIndexedError(
            f"{len(spots.frame)} spots were found, {settings.min_spots} are needed",
            "lower spot_significance, enlarge the aperture, or check that the crystal diffracts",
        )
    senses = both_senses(geometry, spots, settings.max_cell_angstrom)
    tried = _tried_both(senses, spots, frames, settings)
    if settings.axis_search_deg > 0 and _explained(senses, tried, spots, settings) < GOOD_FRACTION:
        turned = along_other_azimuths(
            senses, geometry, spots, longest=settings.max_cell_angstrom, deg=settings.axis_search_deg
        )
        if turned is not senses:
            senses, tried = turned, _tried_both(turned, spots, frames, settings)
    test = axis_test(geometry, senses, tried)
    found, best = (senses.opposite, tried[1]) if test.reversed else (senses.given, tried[0])
    if found is None or best is None or min(found.lattice.score, best.fraction) < settings.min_indexed_fraction:
        explained = f"{best.fraction if best else found.lattice.fraction:.1%} of them" if found else "none"
        raise NotIndexedError(
            f"the best lattice explains {explained} of {len(spots.frame)} spots; {test.verdict}",
            "check the tilt axis, the camera length and max_cell_angstrom; rings of ice or powder do not index",
        )
    warnings: list[str] = []
    refined = best.refined
    if settings.second_domain and (part := _one_of_two(found, refined, spots, settings)) is not None:
        refined = part.refined
        warnings.append(part.said)
    if settings.known_cell is not None:
        basis, geometry = tied_to_cell(refined.crystal.basis, refined.geometry, settings.known_cell)
        refined = refine_lattice(
            geometry, refined.crystal._replace(basis=basis), spots, _freedom_with_known_cell(settings)
        )
    elif settings.refine_ellipse:
        refined = _sheared(refined, spots, settings)
    indexed = index_predicted(refined, spots)[1]
    fraction = float(indexed.mean())
    warnings += further_lattices(refined.geometry, spots.where(~indexed), settings, total=len(spots.frame))
    return Solved(refined, test, fraction, tuple(warnings))


class _Part(NamedTuple):
    refined: Refined
    said: str


def _one_of_two(
    found: IndexedLattice | None, refined: Refined, spots: Spots, settings: IntegrationSettings
) -> _Part | None:
    """Return the lattice of one domain, where the one found is that of a twin's two together.

    It is that if the spots that a part of it leaves over show the same lattice again, and both explain as many.
    """
    hkl, indexed = index_predicted(refined, spots)
    # not the geometry that was refined: it may have bent to lay two domains on one lattice
    geometry = refined.geometry if found is None else found.geometry
    still = np.zeros((len(geometry.angle_deg), 3))
    for rows in sparse_sublattices(hkl[indexed]):
        basis = np.asarray(np.linalg.inv(reduced(np.asarray(np.linalg.inv(refined.crystal.basis @ rows.T)))))
        try:
            part = refine_lattice(geometry, Crystal(basis, still), spots, _freedom(settings))
        except NotIndexedError:
            continue
        own = index_predicted(part, spots)[1]
        rest = spots.where(~own)
        if len(rest.frame) < max(settings.min_spots, FURTHER_FRACTION * len(spots.frame)):
            continue
        other = index_with(part.geometry, rest, settings.max_cell_angstrom)
        if other is None or not same_lattice(other.lattice.basis, part.crystal.basis):
            continue
        further = Crystal(other.lattice.basis, still)
        explained = float(own.mean()) + float(_indexed(part.geometry, further, rest)[1].sum()) / len(spots.frame)
        if explained >= float(indexed.mean()) - AS_MANY:
            return _Part(part, _in_words(refined, part, explained))
    return None


def _in_words(large: Refined, small: Refined, explained: float) -> str:
    cells = (
        " ".join(f"{value:.4g}" for value in cell_parameters(reduced(np.asarray(np.linalg.inv(one.crystal.basis)))))
        for one in (large, small)
    )
    return (
        f"the cell {next(cells)} is two orientations of the cell {next(cells)}, which explain {explained:.0%} of the"
        " spots: taken as a twin of the smaller"
    )


def _freedom(settings: IntegrationSettings) -> Freedom:
    """Return what moves while the lattice is triclinic."""
    return Freedom(axis=settings.refine_axis)


def _freedom_with_known_cell(settings: IntegrationSettings) -> Freedom:
    """Return what moves when the cell is known: not the cell, but all that it was confused with."""
    return Freedom(cell=False, axis=settings.refine_axis, ellipse=settings.refine_ellipse, distance=True)


def _tried_both(
    senses: Senses, spots: Spots, frames: int, settings: IntegrationSettings
) -> tuple[Tried | None, Tried | None]:
    """Refine both senses, as given and reversed; one that is far behind is left alone."""
    least = FAR_BEHIND * max(merit(senses.given), merit(senses.opposite))
    given, opposite = (
        _tried(found, spots, frames, settings) if merit(found) >= least else None
        for found in (senses.given, senses.opposite)
    )
    return given, opposite


def _tried(found: IndexedLattice | None, spots: Spots, frames: int, settings: IntegrationSettings) -> Tried | None:
    """Return what refinement makes of a lattice, None if there is nothing to refine."""
    if found is None or found.lattice.score < WORTH_REFINING * settings.min_indexed_fraction:
        return None
    crystal = Crystal(found.lattice.basis, np.zeros((frames, 3)))
    try:
        refined = refine_lattice(found.geometry, crystal, spots, _freedom(settings))
    except NotIndexedError:
        return None
    return Tried(refined, float(index_predicted(refined, spots)[1].mean()))


def _explained(
    senses: Senses, tried: tuple[Tried | None, Tried | None], spots: Spots, settings: IntegrationSettings
) -> float:
    """Return the fraction of the spots that the better sense explains, by further lattices if one does not do."""
    best = tried[1] if is_reversed(senses, tried) else tried[0]
    if best is None or best.fraction >= GOOD_FRACTION:
        return 0.0 if best is None else best.fraction
    explained = best.fraction
    rest = spots.where(~index_predicted(best.refined, spots)[1])
    for _ in range(MOST_FURTHER):
        further = index_with(best.refined.geometry, rest, settings.max_cell_angstrom)
        if further is None or further.lattice.score < WORTH_REFINING * settings.min_indexed_fraction:
            break
        crystal = Crystal(further.lattice.basis, np.zeros((len(further.geometry.angle_deg), 3)))
        indexed = _indexed(further.geometry, crystal, rest)[1]
        if not _throughout(rest.frame, indexed):
            break
        explained += float(indexed.sum()) / len(spots.frame)
        rest = rest.where(~indexed)
        if explained >= GOOD_FRACTION or len(rest.frame) < settings.min_spots:
            break
    return explained


def _throughout(frame: NDArray[np.int64], indexed: NDArray[np.bool_]) -> bool:
    """Tell whether spots are indexed alike in each third of the series: about a wrong axis, a lattice fits one part."""
    thirds = np.array_split(indexed[np.argsort(frame, kind="stable")], 3)
    return min(float(part.mean()) for part in thirds) > 0.5 * float(indexed.mean()) > 0.0


def refine_lattice(geometry: Geometry, crystal: Crystal, spots: Spots, freedom: Freedom) -> Refined:
    """Refine and index anew with what was refined, a few times."""
    refined: Refined | None = None
    for _ in range(REINDEX_CYCLES):
        hkl, indexed = _indexed(geometry, crystal, spots)
        if indexed.sum() < 10:
            raise NotIndexedError(f"{int(indexed.sum())} spots are left to refine the geometry against")
        refined = refine_geometry(geometry, crystal, spots.where(indexed), hkl[indexed], freedom=freedom)
        geometry, crystal = refined.geometry, refined.crystal
    if refined is None:
        raise NotIndexedError("the geometry was not refined")
    return refined


def _sheared(refined: Refined, spots: Spots, settings: IntegrationSettings) -> Refined:
    """Return what freeing the ellipse makes of a lattice if the positions speak for it clearly, else what it was.

    Only the part of the ellipse is free that no strain of the cell looks like. A small gain is worth nothing: any
    further parameter follows the errors of the frames.
    """
    try:
        hkl, indexed = index_predicted(refined, spots)
        freedom = _freedom(settings)._replace(shear=True)
        freer = refine_geometry(refined.geometry, refined.crystal, spots.where(indexed), hkl[indexed], freedom=freedom)
    except NotIndexedError:
        return refined
    return freer if freer.rmsd_px < WORTH_AN_ELLIPSE * refined.rmsd_px else refined


def index_predicted(refined: Refined, spots: Spots) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return hkl (n, 3) of spots and which of them (n,) lie where the refined lattice puts them."""
    return _indexed(refined.geometry, refined.crystal, spots)


def _indexed(geometry: Geometry, crystal: Crystal, spots: Spots) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    matrices = orientations(geometry, crystal)[spots.frame]
    q = laboratory_q(spots.px, geometry.beam_px[spots.frame], geometry)
    hkl = np.rint(np.linalg.solve(matrices, q[..., None])[..., 0])
    calculated = np.einsum("nij,nj->ni", matrices, hkl)
    px = detector_px(calculated, geometry.beam_px[spots.frame], geometry)
    off = np.linalg.norm(px - spots.px, axis=1)
    excitation = np.abs(excitation_error(calculated, geometry.wavelength))
    per_px = 1.0 / (geometry.distance_px * geometry.wavelength)
    rows = reduced(np.asarray(np.linalg.inv(crystal.basis)))
    spacing = float(np.linalg.norm(np.linalg.inv(rows), axis=0).min())
    near = off * per_px < min(TOLERANCE_PX * per_px, 0.25 * spacing)
    return hkl.astype(np.int64), near & (excitation < min(0.02, 0.4 * spacing)) & (hkl != 0).any(axis=1)


def further_lattices(geometry: Geometry, rest: Spots, settings: IntegrationSettings, *, total: int) -> list[str]:
    """Say which other lattices the spots left over show."""
    said: list[str] = []
    for _ in range(MOST_FURTHER):
        if len(rest.frame) < max(settings.min_spots, FURTHER_FRACTION * total):
            break
        found = index_with(geometry, rest, settings.max_cell_angstrom)
        if found is None or found.lattice.score < FURTHER_SCORE:
            doubt = ": the cell may be wrong" if len(rest.frame) > 0.5 * total else ""
            said.append(f"{len(rest.frame)} of {total} spots belong to no lattice found{doubt}")
            break
        crystal = Crystal(found.lattice.basis, np.zeros((len(geometry.angle_deg), 3)))
        indexed = _indexed(geometry, crystal, rest)[1]
        cell = " ".join(f"{value:.4g}" for value in cell_parameters(reduced(np.asarray(np.linalg.inv(crystal.basis)))))
        said.append(f"a further lattice explains {int(indexed.sum())} of {total} spots: reduced cell {cell}")
        rest = rest.where(~indexed)
    return said
