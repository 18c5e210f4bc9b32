"""The chain of the built-in integrator, from frames to a Reflections document."""

from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.frames import FrameSeries
from tasks.integrate.assemble import Particulars, assemble_reflections, laue_warnings
from tasks.integrate.cell_scale import calibrated_scale, scale_warnings, stated_scale, with_curvature
from tasks.integrate.counting_loss import counting_loss, counting_warning, missing_reflections
from tasks.integrate.damage.correction import damage_warnings, without_damage
from tasks.integrate.disc_figures import disc_figures, disc_warnings
from tasks.integrate.domains.joint import (
    SAME_PIXEL,
    SAME_PLACE,
    chosen_indices,
    joined,
    meeting,
    on_lattice,
    partners,
    sums_of,
    without,
)
from tasks.integrate.domains.second_domain import SecondDomain, second_domain
from tasks.integrate.geometry.mapping import Crystal, geometry_of
from tasks.integrate.geometry.prediction import crossings
from tasks.integrate.geometry.refinement import Refined
from tasks.integrate.geometry.state import Freedom
from tasks.integrate.indexing.distortion import ellipse_warnings
from tasks.integrate.indexing.lattice_search import Solved, solve_lattice
from tasks.integrate.merging.equivalents import observations_at
from tasks.integrate.merging.event_halves import halves_warnings
from tasks.integrate.models import CellScale, CountingLoss, Reflections
from tasks.integrate.overlaps import DomainOverlaps, separated
from tasks.integrate.pictures import write_pictures
from tasks.integrate.profiles.pixels import (
    Pixels,
    measure_pixels,
    pixels_of,
    predicted_spots,
    repredicted,
    resolution_of_spots,
)
from tasks.integrate.reflection_file import Unmerged
from tasks.integrate.rocking.model import RockingModel
from tasks.integrate.rocking.scaling import (
    FIRST_WIDTH,
    LEAST_SEEN,
    ScaledObservations,
    first_model,
    fit_rocking,
    illuminated,
    observations_of,
    resolution_limit,
    scale_observations,
    usable,
)
from tasks.integrate.settings import IntegrationSettings
from tasks.integrate.spots.disc_spots import search_disc_spots
from tasks.integrate.spots.images import Images, SpotSearch, load_images, search_spots, with_poisson_noise
from tasks.integrate.symmetry.lattice_system import (
    crystal_system,
    length_by_curvature,
    refine_in_system,
    straightened,
)
from tasks.integrate.symmetry.laue import LaueChoice, determine_laue_group
from tasks.integrate.traces import write_traces
from tasks.model import FileRef, UnitCell
from tasks.model.arrays import Floats
from tasks.model.provenance import Provenance


def run_integration(
    series: FrameSeries, settings: IntegrationSettings, workdir: Path, *, provenance: Provenance
) -> Reflections:
    """Run the whole chain; see `BuiltinIntegrator.integrate`."""
    images, search = find_spots(series, settings)
    solved = solve_lattice(geometry_of(series), search, len(series.frames), settings)
    solved, pixels, first, choice = _symmetry(series, settings, images, search, solved)
    freedom = _freedom(settings, choice, straight=solved.straight)
    refined = refine_in_system(search.spots, solved.refined, choice, freedom)
    moved = repredicted(pixels, choice.basis, refined, series)
    scaled = scaled_in(series, moved, refined, choice.laue, final=True, model=first.fit.model)
    twin = _twin(series, settings, (images, search), (refined, choice), model=first.fit.model)
    if twin is not None:
        moved, scaled = twin.pixels, twin.scaled
    pictures = write_pictures(moved, scaled, refined, workdir / "pictures.h5")
    return _document(
        series,
        settings,
        workdir,
        found=(images, search, solved),
        choice=choice,
        refined=refined,
        scale=_cell_scale(series, search, refined, freedom),
        scaled=scaled,
        moved=moved,
        pictures=pictures,
        provenance=provenance,
        counting=_counting(series, moved, scaled),
        twin=twin,
    )


class TwinIntegration(NamedTuple):
    """A non-merohedral twin: what its first domain came to beside the second, and the observations of both."""

    domain: SecondDomain
    pixels: Pixels
    scaled: ScaledObservations
    overlaps: DomainOverlaps
    warning: str


def _twin(
    series: FrameSeries,
    settings: IntegrationSettings,
    seen: tuple[Images, SpotSearch],
    first: tuple[Refined, LaueChoice],
    *,
    model: RockingModel,
) -> TwinIntegration | None:
    """Look for a second domain, and measure both together; None where there is none, or spots are discs."""
    (images, search), (refined, choice) = seen, first
    if series.disc is not None or not settings.second_domain:
        return None
    system = crystal_system(choice.laue)
    domain = second_domain(refined, choice.basis, search.spots, system=system, settings=settings)
    if domain is None:
        return None
    limit = resolution_of_spots(refined.geometry, search, series.detector.shape_px)
    d_min = limit if settings.d_min_angstrom is None else settings.d_min_angstrom
    own, other = (
        on_lattice(
            predicted_spots(series, images, search, each, d_min=d_min, d_max=settings.d_max_angstrom), choice.basis
        )
        for each in (refined, domain.refined)
    )
    bases = refined.crystal.basis, domain.refined.crystal.basis
    within = SAME_PLACE * refined.rms_excitation
    alone = np.flatnonzero(~partners(other.hkl, bases[1], bases[0], within).any(axis=1))
    predictions, number = joined(own, other.where(alone))
    pixels = pixels_of(series, images, search, refined, predictions)
    apart = SAME_PIXEL * search.spot_radius_px
    pixels = without(pixels, meeting(predictions, number, pixels.patches.near, apart))
    parts = [pixels.where(number == one) for one in (0, 1)]
    scaled = [
        scaled_in(series, part, each, choice.laue, final=True, model=model)
        for part, each in zip(parts, (refined, domain.refined), strict=True)
    ]
    kept = [rows_of(one.data, usable(one, choice.laue, _d_star(one.data, refined.crystal))[0]) for one in scaled]
    meets = partners(kept[0].hkl, *bases, within)
    singles = observations_at(kept[0], np.flatnonzero(~meets.any(axis=1)))
    matrix = chosen_indices(singles, kept[1], domain.choices, choice.laue)
    overlaps = sums_of(kept[0], kept[1]._replace(hkl=(kept[1].hkl @ matrix).astype(np.int32)), meets @ matrix)
    turn = domain.turn_from(refined)
    warning = (
        f"a second domain of the same lattice, turned by {np.degrees(turn.magnitude()):.1f} degrees, explains"
        f" {domain.spots} of {len(search.spots.frame)} spots: integrated as a twin of two domains,"
        f" {overlaps.overlapped} of {len(overlaps.intensity)} observations being sums of both"
    )
    return TwinIntegration(domain, parts[0], scaled[0], overlaps, warning)


def _counting(series: FrameSeries, pixels: Pixels, scaled: ScaledObservations) -> CountingLoss | None:
    rows = scaled.rows
    return counting_loss(
        series,
        pixels.loss,
        scaled.fit,
        near=pixels.patches.near,
        rows=rows,
        group=scaled.group,
        intensity=pixels.measured.intensity[rows],
    )


def find_spots(series: FrameSeries, settings: IntegrationSettings) -> tuple[Images, SpotSearch]:
    """Return the frames with their spots; discs are of counting cameras, whose noise is Poisson's."""
    beam_px = np.array(series.direct_beam_px)
    if series.disc is not None:
        images = load_images(series)
        return images, search_disc_spots(images, beam_px, series.disc, threshold=settings.spot_significance)
    images = with_poisson_noise(load_images(series), beam_px)
    return images, search_spots(images, beam_px, threshold=settings.spot_significance)


def _symmetry(
    series: FrameSeries, settings: IntegrationSettings, images: Images, search: SpotSearch, solved: Solved
) -> tuple[Solved, Pixels, ScaledObservations, LaueChoice]:
    """Measure the frames and find the Laue group, with stretched frames put right if that makes the lattice symmetric.

    If the intensities do not confirm the symmetry, the frames are taken as they are.
    """
    straight = straightened(solved, search.spots) if settings.refine_ellipse and settings.known_cell is None else None
    for each in [trial for trial in (straight, solved) if trial is not None]:
        limit = resolution_of_spots(each.refined.geometry, search, series.detector.shape_px)
        d_min = limit if settings.d_min_angstrom is None else settings.d_min_angstrom
        pixels = measure_pixels(series, images, search, each.refined, d_min=d_min, d_max=settings.d_max_angstrom)
        first = scaled_in(series, pixels, each.refined, gemmi.SpaceGroup("P -1"), final=False, model=None)
        choice = _laue_choice(first, each.refined, settings)
        if each is solved or crystal_system(choice.laue) != "triclinic":
            break
    return each, pixels, first, choice


def _freedom(settings: IntegrationSettings, choice: LaueChoice, *, straight: bool) -> Freedom:
    """Return what moves in the final refinement.

    A monoclinic cell holds little of an ellipse: it is free if the metric has shown one (``straight``).
    """
    system = crystal_system(choice.laue)
    ellipse = settings.refine_ellipse
    if settings.known_cell is not None:
        return Freedom(system=system, cell=False, axis=settings.refine_axis, ellipse=ellipse, distance=True)
    held = system not in ("triclinic", "monoclinic") or (system == "monoclinic" and straight)
    return Freedom(system=system, axis=settings.refine_axis, ellipse=ellipse and held)


def _cell_scale(series: FrameSeries, search: SpotSearch, refined: Refined, freedom: Freedom) -> CellScale:
    """Return how well the scale of the cell is known: by the manifest or a known cell, with what the curvature says."""
    if freedom.distance:
        length_mm = refined.geometry.distance_px * series.detector.pixel_size_mm
        scale = calibrated_scale(series.detector, length_mm, refined.distance_esd)
    else:
        scale = stated_scale(series.detector)
    curvature = length_by_curvature(search.spots, refined, freedom)
    return scale if curvature is None else with_curvature(scale, *curvature)


def scaled_in(
    series: FrameSeries,
    pixels: Pixels,
    refined: Refined,
    laue: gemmi.SpaceGroup,
    *,
    final: bool,
    model: RockingModel | None,
) -> ScaledObservations:
    """Fit the rocking model in a Laue group and return one observation per crossing."""
    rows = np.flatnonzero(pixels.measured.seen > LEAST_SEEN)
    every, groups = observations_of(pixels.predictions, pixels.measured, refined.geometry, laue, loss=pixels.loss)
    observations = every.where(rows)
    width = FIRST_WIDTH * refined.rms_excitation
    start = first_model(width, len(series.frames), illuminated(series)) if model is None else model
    damage = None
    if final:
        crossing = crossings(pixels.predictions.where(rows))
        fit, kept, damage = without_damage(series, start, observations, groups, crossing=crossing)
        rows, observations = rows[kept], observations.where(kept)
    else:
        fit = fit_rocking(start, observations, groups, final=False)
    halves = None
    if pixels.half is not None:
        half = pixels.half[rows]
        halves = (half, observations.intensity - half)
    scaled = scale_observations(
        pixels.predictions,
        fit,
        observations,
        rows=rows,
        geometry=refined.geometry,
        halves=halves,
        aside=None if pixels.loss is None else pixels.loss.aside & pixels.patches.near,
    )
    return scaled._replace(damage=damage)


def _laue_choice(scaled: ScaledObservations, refined: Refined, settings: IntegrationSettings) -> LaueChoice:
    d_star = _d_star(scaled.data, refined.crystal)
    kept, _ = usable(scaled, gemmi.SpaceGroup("P -1"), d_star)
    # shells of noise would drown what the centring and the symmetry do to the intensities
    kept &= d_star <= 1.0 / resolution_limit(rows_of(scaled.data, kept), d_star[kept], settings.least_i_over_sigma)
    return determine_laue_group(rows_of(scaled.data, kept), UnitCell.of(_six(refined.cell)), seed=settings.seed)


def _document(
    series: FrameSeries,
    settings: IntegrationSettings,
    workdir: Path,
    *,
    found: tuple[Images, SpotSearch, Solved],
    choice: LaueChoice,
    refined: Refined,
    scale: CellScale,
    scaled: ScaledObservations,
    moved: Pixels,
    pictures: FileRef,
    provenance: Provenance,
    counting: CountingLoss | None,
    twin: TwinIntegration | None,
) -> Reflections:
    images, search, solved = found
    d_star = _d_star(scaled.data, refined.crystal)
    kept, poor = usable(scaled, choice.laue, d_star)
    limit = settings.d_min_angstrom
    if limit is None:
        limit = resolution_limit(rows_of(scaled.data, kept), d_star[kept], settings.least_i_over_sigma)
    kept &= d_star <= 1.0 / limit * (1 + 1e-9)
    traces = write_traces(series, moved, scaled, kept=kept, refined=refined, path=workdir / "traces.h5")
    halves = None if scaled.halves is None else (scaled.halves[0][kept], scaled.halves[1][kept])
    warnings = [*_warnings(settings, found, choice, refined), *scale_warnings(scale)]
    warnings += halves_warnings(rows_of(scaled.data, kept), halves, noise_factor=images.noise_factor)
    warnings += damage_warnings(scaled.damage)
    if poor:
        warnings.append(f"{poor} of {len(kept)} observations left out: no frame came near the peak of their curve")
    if counting is not None and counting.set_aside:
        gone = missing_reflections(
            moved.predictions.hkl, moved.loss, moved.patches.near, scaled.data.hkl[kept], choice.laue
        )
        counting = counting.model_copy(update={"missing": gone})
        warnings.append(counting_warning(counting))
    discs = disc_figures(moved, scaled.rows)
    warnings += disc_warnings(discs)
    overlapped = int(moved.patches.overlapped[scaled.rows].sum())
    if overlapped and discs is None:
        warnings.append(
            f"{overlapped} of {len(scaled.rows)} measurements share pixels with another strong spot: fitted together"
        )
    data, overlaps = rows_of(scaled.data, kept), None
    if twin is not None:
        overlaps = twin.overlaps.chosen(_within(twin.overlaps, refined.crystal, limit))
        data, halves = separated(overlaps).data, None
        warnings.append(twin.warning)
    particulars = Particulars(
        wavelength_angstrom=series.beam.wavelength_angstrom,
        provenance=provenance,
        members=(series.id,),
        unit_cell_esd=_six(refined.cell_esd),
        cell_scale=scale,
        indexed_fraction=solved.fraction,
        spots=len(search.spots.frame),
        axis_test=solved.axis_test,
        pictures=pictures,
        traces=traces,
        counting=counting,
        discs=discs,
        damage=scaled.damage,
        overlaps=overlaps,
        warnings=tuple(warnings),
    )
    return assemble_reflections(
        series.id,
        data,
        UnitCell.of(_six(refined.cell)),
        particulars,
        laue=choice.laue,
        workdir=workdir,
        halves=halves,
    )


def _warnings(
    settings: IntegrationSettings, found: tuple[Images, SpotSearch, Solved], choice: LaueChoice, refined: Refined
) -> list[str]:
    """Return what the lattice, the Laue group, the geometry and the frames give reason to say."""
    images, _, solved = found
    warnings = [
        *solved.warnings,
        *laue_warnings(choice),
        *ellipse_warnings(refined, known=settings.known_cell is not None),
    ]
    if images.hot:
        warnings.append(f"{images.hot} hot or dead pixels were masked")
    if images.noise_factor > 1:
        warnings.append(f"sums of counts vary {images.noise_factor:.2f} times more than Poisson's: sigmas follow that")
    if not images.used.all():
        warnings.append(f"{int((~images.used).sum())} empty frames were left out")
    return warnings


def rows_of(data: Unmerged, rows: NDArray[np.bool_]) -> Unmerged:
    """Return some of the observations."""
    return observations_at(data, np.flatnonzero(rows))


def _within(overlaps: DomainOverlaps, crystal: Crystal, d_min: float) -> NDArray[np.bool_]:
    """Return which observations (g,) have all of their reflections within a resolution limit."""
    inner = np.linalg.norm(overlaps.hkl @ crystal.basis.T, axis=1) <= (1 + 1e-9) / d_min
    return np.bincount(overlaps.observation, ~inner, len(overlaps.intensity)) == 0


def _d_star(data: Unmerged, crystal: Crystal) -> Floats:
    return np.asarray(np.linalg.norm(data.hkl @ crystal.basis.T, axis=1))


def _six(values: Floats) -> tuple[float, float, float, float, float, float]:
    a, b, c, alpha, beta, gamma = (float(value) for value in values)
    return a, b, c, alpha, beta, gamma
