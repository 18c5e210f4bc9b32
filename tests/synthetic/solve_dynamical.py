"""Merged intensities of published structures as electrons give them: two-beam dynamical, leaking, a wedge missing."""

from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import gemmi
import numpy as np
from numpy.typing import NDArray
from scipy import fft, integrate, special

from tasks.crystal.scattering import structure_factors
from tasks.integrate.reflection_file import Merged
from tasks.model import UnitCell
from tests.synthetic.solve_cases import Published, representatives


class Quality(NamedTuple):
    """How good a data set is.

    ``noise``: relative error of an intensity; ``tilt_deg``: half of the tilt range; ``thickness``: Blackman's A of the
    root mean square structure factor; ``leak``: multiply scattered part of the mean intensity.
    """

    d_min: float
    noise: float
    tilt_deg: float
    thickness: float
    leak: float


class Dynamical(NamedTuple):
    """A structure to be found, and its intensities."""

    merged: Merged
    cell: UnitCell
    laue: str
    composition: str
    published: Published
    completeness: float
    r1_true: float
    """Of the true structure factors against the intensities: what no kinematical model gets far below."""


def dynamical(path: Path, quality: Quality, *, seed: int = 0) -> Dynamical:
    """Return the intensities of the structure in a CIF, hydrogen included; `seed` is added to that of its name."""
    rng = np.random.default_rng(crc32(path.stem.encode()) + seed)
    blocks = [block for block in gemmi.cif.read(str(path)) if block.find_values("_atom_site_fract_x")]
    small = gemmi.make_small_structure_from_block(blocks[0])
    sites = [site for site in small.sites if site.element.name != "X"]
    elements = tuple("H" if site.element.name == "D" else site.element.name for site in sites)
    position = np.array([list(site.fract) for site in sites])
    cell, group = UnitCell.of(small.cell.parameters), small.spacegroup
    laue = laue_class(group)
    hkl = gemmi.make_miller_array(cell.gemmi(), laue, quality.d_min).astype(np.int32)
    hkl = representatives(hkl, laue.xhm())
    u_iso = rng.uniform(0.012, 0.035, len(sites)) + 0.008 * np.isin(elements, list("CNOF"))
    u_iso[np.array(elements) == "H"] = 0.05
    f = structure_factors(
        hkl, cell, group.operations(), elements=elements, positions=position, u_iso_angstrom2=u_iso,
        occupancies=np.array([site.occ for site in sites]), radiation="electron",
    )  # fmt: skip
    rotations = np.array([op.rot for op in laue.operations().sym_ops]) // gemmi.Op.DEN
    intensity = two_beam(np.abs(f), quality.thickness)
    doubly = twice_scattered(hkl, intensity, rotations)
    intensity = intensity + quality.leak * doubly * intensity.mean() / doubly.mean()
    sigma = quality.noise * intensity + 0.015 * intensity.mean()
    measured = intensity + sigma * rng.normal(size=len(hkl))
    count = times_seen(hkl, cell, rotations, rng.normal(size=(2, 3)), quality.tilt_deg)
    seen = count > 0
    scale = 1000.0 / measured.mean()
    heavy = np.array(elements) != "H"
    amplitude = np.sqrt(np.maximum(measured, 0.0))
    kinematical = np.abs(f) * (amplitude @ np.abs(f)) / (np.abs(f) @ np.abs(f))
    return Dynamical(
        Merged(hkl[seen], measured[seen] * scale, sigma[seen] * scale, count[seen].astype(np.int32)),
        cell, laue.xhm(), _formula(elements, position, group),
        Published(tuple(np.array(elements)[heavy].tolist()), position[heavy], group),
        float(seen.mean()), float(np.abs(amplitude - kinematical).sum() / amplitude.sum()),
    )  # fmt: skip


def laue_class(group: gemmi.SpaceGroup) -> gemmi.SpaceGroup:
    """Return the group of a point group with a centre and of the lattice, in the axes of `group`."""
    rotations = {tuple(map(tuple, op.rot)) for op in group.operations().sym_ops}
    rotations |= {tuple(tuple(-value for value in row) for row in rotation) for rotation in rotations}
    operations = []
    for rotation in rotations:
        operation = gemmi.Op("x,y,z")
        operation.rot = [list(row) for row in rotation]
        operations.append(operation)
    shifts = [gemmi.Op("x,y,z").translated(shift) for shift in group.operations().cen_ops if any(shift)]
    return gemmi.find_spacegroup_by_ops(gemmi.GroupOps(operations + shifts))


def two_beam(amplitude: NDArray[np.float64], thickness: float) -> NDArray[np.float64]:
    """Return the intensity integrated over the rocking curve, F^2 for thin crystals and F for thick ones.

    Source: Blackman, Proc. R. Soc. A173, 68-82 (1939): I = F (integral of J0(2x) from 0 to A), A in proportion to F.
    """
    per_amplitude = thickness / np.sqrt((amplitude**2).mean())
    x = np.linspace(0.0, float(per_amplitude * amplitude.max()) + 1e-6, 2000)
    curve = integrate.cumulative_trapezoid(special.j0(2 * x), x, initial=0)
    return amplitude / per_amplitude * np.interp(per_amplitude * amplitude, x, curve)


def twice_scattered(
    hkl: NDArray[np.int32], intensity: NDArray[np.float64], rotations: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the sum over g of I(g) I(h - g), on any scale, (n,): incoherent double scattering fills absences."""
    everything = np.concatenate([hkl @ rotation for rotation in rotations])
    shape = np.array([fft.next_fast_len(int(4 * top + 1), real=True) for top in np.abs(everything).max(axis=0)])
    grid = np.zeros(shape)
    grid[tuple((everything % shape).T)] = np.tile(intensity, len(rotations))
    folded = fft.irfftn(fft.rfftn(grid) ** 2, s=shape)
    return np.maximum(folded[tuple((hkl % shape).T)], 0.0)


def times_seen(
    hkl: NDArray[np.int32], cell: UnitCell, rotations: NDArray[np.int64], axes: NDArray[np.float64], tilt_deg: float
) -> NDArray[np.int64]:
    """Return how many equivalents a tilt by plus and minus so much about the first of two axes brings through, (n,)."""
    axis = axes[0] / np.linalg.norm(axes[0])
    along = np.cross(axis, axes[1])
    along /= np.linalg.norm(along)
    reciprocal = np.array(cell.gemmi().frac.mat.tolist())
    count = np.zeros(len(hkl), dtype=np.int64)
    for rotation in rotations:
        vector = (hkl @ rotation) @ reciprocal
        angle = np.degrees(np.arctan2(vector @ np.cross(axis, along), vector @ along))
        count += np.abs((angle + 90.0) % 180.0 - 90.0) <= tilt_deg
    return count


def _formula(elements: tuple[str, ...], position: NDArray[np.float64], group: gemmi.SpaceGroup) -> str:
    """Return the contents of the cell over those of its rarest element."""
    count: dict[str, float] = {}
    operations = list(group.operations())
    for name, place in zip(elements, position, strict=True):
        images = np.array([op.apply_to_xyz(list(place)) for op in operations])
        delta = images[:, None, :] - images[None, :, :]
        same = (np.abs(delta - np.round(delta)) < 2e-3).all(axis=2)
        count[name] = count.get(name, 0.0) + float((1.0 / same.sum(axis=1)).sum())
    if set(count) == {"Si", "O"}:
        return "Si O2"
    least = min(count.values())
    return " ".join(f"{name}{number / least:.4g}" for name, number in count.items())
