"""Electrons of one scan by an absolute model: every electron that comes in goes out, and none is made.

At each scan position the crystals lie above one another; the upper one scatters first, the lower one what is left in
the direct beam. What one crystal has scattered is not scattered again by another. Of a reflection's electrons those of
the part that damage has made amorphous scatter diffusely instead; film and debris deflect some of all electrons, from
whichever beam they are in, and so does a loss of energy in the crystals. The direct beam fills its disc evenly; the
discs of reflections hold what each part of the disc excites.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from tasks.model.arrays import Floats
from tasks.simulate.arrived import Arrived, Expected, Passage
from tasks.simulate.bloch import depths_to
from tasks.simulate.damage import damaged
from tasks.simulate.detector_plane import arriving, widened
from tasks.simulate.diffuse import diffuse_deflections, inelastic_deflections
from tasks.simulate.models import ANGSTROM_PER_NM
from tasks.simulate.probe import Lit, depth_weights, lit, probe_fwhm_nm
from tasks.simulate.scattered import Scattered, TiltedCrystal, kinematical, many_beam
from tasks.simulate.shapes import thickness
from tasks.simulate.specimen import Absolute, Specimen

NOTICED = 1e-3
"""Electrons in a whole scan: reflections with fewer are not in the truth, which would be ten times as long with all. A
reflection that is measured has some tens."""


class Part(NamedTuple):
    """A part of a domain with one orientation: what it scatters, and how much of each depth each position meets.

    ``weight`` is (p, t) for the positions of ``Lit``.
    """

    seen: Scattered
    weight: NDArray[np.float64]

    @property
    def share(self) -> NDArray[np.float64]:
        """Electrons scattered per incident one, (p,)."""
        return np.asarray(self.weight @ self.seen.intensity.sum(axis=1))


class Losses(NamedTuple):
    """Parts of the electrons at each scan position, (n,), that go astray on top of diffraction."""

    inelastic: NDArray[np.float64]
    debris: NDArray[np.float64]


class Beams(NamedTuple):
    """Electrons before film, debris and losses deflect them.

    ``position`` (n,) in the widened scan, ``q_xy`` (n, 2) in 1/angstrom, ``within`` (n, 2) in a disc of radius 1.
    """

    position: NDArray[np.int64]
    q_xy: NDArray[np.float64]
    within: NDArray[np.float64]


def pass_absolute(specimen: Specimen, model: Absolute, index: int) -> Passage:
    """Return the electrons of one scan; each tilt has a random stream of its own."""
    rng = np.random.default_rng([specimen.settings.seed, 2, index])
    places = specimen.positions_nm
    bodies = [specimen.body(domain, index) for domain in specimen.domains]
    fwhm = probe_fwhm_nm(specimen.settings.instrument, specimen.projection.wavelength_angstrom)
    met = [lit(body, places, fwhm) for body in bodies]
    losses = _losses(specimen, model, index, met)
    left, share = np.ones(len(places)), np.zeros((len(bodies), len(places)))
    kept = damaged(specimen.settings.damage, float(specimen.tilts.dose_e_per_a2[index])).left
    drawn: list[Beams] = []
    expected: list[tuple[int, NDArray[np.float64]]] = []
    for number in sorted(range(len(bodies)), key=lambda one: -bodies[one].centre[2]):
        position, before = met[number].position, left[met[number].position]
        for part in _parts(specimen, model, index, number, met[number]):
            drawn.append(_scattered_electrons(specimen, part, position, before, kept, rng))
            expected.append((number, _expected(specimen, part, before * _kept(specimen, losses, position))))
            share[number, position] += before * part.share
        left[position] = before - share[number, position]
    drawn.append(_direct_electrons(specimen, left, rng))
    return Passage(
        _deflected(specimen, index, drawn, losses, rng),
        np.array([thickness(body, places) for body in bodies]).reshape(share.shape),
        share * kept,
        _by_crystal(specimen, expected, kept),
    )


def _losses(specimen: Specimen, model: Absolute, index: int, met: list[Lit]) -> Losses:
    """Return what is lost in the crystals, as one event at most, and in the debris."""
    plan = specimen.settings.scattering
    crystals = np.zeros(len(specimen.positions_nm))
    for seen in met:
        crystals[seen.position] += seen.length_nm @ seen.weight
    debris = model.debris.thickness_nm(specimen.rotation(index), specimen.shift_nm(index), specimen.positions_nm)
    path = plan.inelastic_mean_free_path_nm
    inelastic = np.zeros(len(crystals)) if path is None else -np.expm1(-(crystals + debris) / path)
    return Losses(inelastic, -np.expm1(-debris / plan.debris_mean_free_path_nm))


def _kept(specimen: Specimen, losses: Losses, position: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the part of a reflection's electrons, (p,), that nothing deflects afterwards."""
    plan = specimen.settings.scattering
    film = 1 - plan.halo_fraction - plan.background_fraction
    return np.asarray(film * (1 - losses.inelastic[position]) * (1 - losses.debris[position]))


def _parts(specimen: Specimen, model: Absolute, index: int, number: int, met: Lit) -> list[Part]:
    """Return the parts of a domain by its bend; none where it lies beside the scan."""
    if not len(met.position):
        return []
    domain, bend, rotation = specimen.domains[number], model.bends[number], specimen.rotation(index)
    depth = depths_to(float(met.length_nm.max()) * ANGSTROM_PER_NM)
    body = specimen.body(domain, index)
    place = np.concatenate([met.place_nm, met.middle_nm[:, :, None]], axis=2) - body.centre
    shares = bend.shares(place @ rotation)
    return [
        Part(
            _seen_of(specimen, model, index, number, turn @ domain.ub, depth),
            depth_weights(met, share, depth / ANGSTROM_PER_NM),
        )
        for turn, share in zip(bend.turns(), shares, strict=True)
    ]


def _seen_of(
    specimen: Specimen, model: Absolute, index: int, number: int, ub: NDArray[np.float64], depth: Floats
) -> Scattered:
    settings, table = specimen.settings, specimen.reflections
    b_factor = damaged(settings.damage, float(specimen.tilts.dose_e_per_a2[index])).b_factor
    crystal = TiltedCrystal(
        hkl=table.hkl,
        f_squared=table.f_squared * np.exp(-b_factor / 2 * table.d_star**2),
        ub=ub,
        tilt=specimen.rotation(index),
        wavelength_angstrom=specimen.projection.wavelength_angstrom,
        cross_section=model.cross_section,
        mosaic_rad=float(np.radians(settings.cluster.mosaic_deg)),
        convergence_rad=settings.instrument.convergence_mrad * 1e-3,
    )
    if model.potential is None:
        return kinematical(crystal, depth)
    return many_beam(
        crystal,
        depth,
        potential=model.potential,
        blocks=model.blocks[number],
        beams=settings.scattering.beams,
        b_factor=b_factor,
    )


def _scattered_electrons(
    specimen: Specimen,
    part: Part,
    position: NDArray[np.int64],
    before: NDArray[np.float64],
    kept: float,
    rng: np.random.Generator,
) -> Beams:
    """Draw the electrons of one part: how many for each position and depth, then each one's outcome."""
    seen, plan = part.seen, specimen.settings.scattering
    outcomes = seen.intensity.shape[1]
    total = seen.intensity.sum(axis=1)
    mean = plan.electrons_per_pattern * before[:, None] * part.weight * total
    place, level = np.nonzero(mean)
    count = rng.poisson(mean[place, level])
    level = np.repeat(level, count)
    running = np.concatenate([[0.0], np.cumsum(seen.intensity)])
    start = running[np.arange(len(total)) * outcomes]
    chosen = np.searchsorted(running[1:], start[level] + rng.random(len(level)) * total[level], side="right")
    outcome = np.clip(chosen - level * outcomes, 0, max(outcomes - 1, 0))
    q_xy = seen.q_xy[outcome]
    within = seen.within[outcome] + seen.spread[outcome, None] * _in_disc(len(level), rng)
    if kept < 1:
        amorphous = rng.random(len(level)) >= kept
        q_xy[amorphous] = diffuse_deflections(int(amorphous.sum()), plan.background_scale, rng)
    return Beams(widened(specimen.settings.instrument)[0][position[np.repeat(place, count)]], q_xy, within)


def _direct_electrons(specimen: Specimen, left: NDArray[np.float64], rng: np.random.Generator) -> Beams:
    """Draw the electrons that no crystal scattered, over the widened scan."""
    grid, everywhere = widened(specimen.settings.instrument)
    mean = np.ones(len(everywhere))
    mean[grid] = np.maximum(left, 0.0)
    position = np.repeat(everywhere, rng.poisson(specimen.settings.scattering.electrons_per_pattern * mean))
    return Beams(position, np.zeros((len(position), 2)), _in_disc(len(position), rng))


def _in_disc(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return places (count, 2) in a disc of radius 1, evenly."""
    radius, azimuth = np.sqrt(rng.random(count)), rng.uniform(0, 2 * np.pi, count)
    return np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth)], axis=1)


def _deflected(specimen: Specimen, index: int, drawn: list[Beams], losses: Losses, rng: np.random.Generator) -> Arrived:
    """Let film, debris and losses deflect the electrons, and bring them to the detector."""
    plan, instrument = specimen.settings.scattering, specimen.settings.instrument
    inverse = 1.0 / specimen.projection.wavelength_angstrom
    position, q_xy, within = (np.concatenate(columns) for columns in zip(*drawn, strict=True))
    q_xy = q_xy + within * (instrument.convergence_mrad * 1e-3 * inverse)
    fate = rng.random(len(position))
    halo, film = fate < plan.halo_fraction, fate < plan.halo_fraction + plan.background_fraction
    for hit, scale in ((halo, plan.halo_scale), (film & ~halo, plan.background_scale)):
        q_xy[hit] += diffuse_deflections(int(hit.sum()), scale, rng)
    grid, everywhere = widened(instrument)
    for part, angle in ((losses.debris, False), (losses.inelastic, True)):
        if not part.any():
            continue
        chance = np.zeros(len(everywhere))
        chance[grid] = part
        hit = rng.random(len(position)) < chance[position]
        count = int(hit.sum())
        q_xy[hit] += (
            inelastic_deflections(count, instrument.energy_kev, plan, rng) * inverse
            if angle
            else diffuse_deflections(count, plan.background_scale, rng)
        )
    return arriving(specimen, index, position, specimen.projection.offsets(q_xy), within=0.0, rng=rng)


def _expected(specimen: Specimen, part: Part, before: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean electrons of each reflection of the table, (n,), with ``before`` (p,) that come to the part."""
    at_depth = specimen.settings.scattering.electrons_per_pattern * (before @ part.weight)
    per_outcome = at_depth @ part.seen.intensity
    rows = len(specimen.reflections.hkl)
    return np.asarray(np.bincount(part.seen.row, weights=per_outcome, minlength=rows), dtype=np.float64)


def _by_crystal(specimen: Specimen, expected: list[tuple[int, NDArray[np.float64]]], kept: float) -> Expected:
    """Return the sums over the good domains of each crystal, what no reflection has left out."""
    sums: dict[int, NDArray[np.float64]] = {}
    for number, electrons in expected:
        domain = specimen.domains[number]
        if not domain.bad:
            sums[domain.crystal] = sums.get(domain.crystal, 0.0) + kept * electrons
    rows = {crystal: np.flatnonzero(electrons > NOTICED) for crystal, electrons in sorted(sums.items())}
    lengths = [len(row) for row in rows.values()]
    return Expected(
        np.repeat(np.array(list(rows), dtype=np.int32), lengths),
        np.concatenate([*rows.values(), np.zeros(0, dtype=np.int64)]).astype(np.int32),
        np.concatenate([*(sums[crystal][row] for crystal, row in rows.items()), np.zeros(0)]),
    )
