"""Real data sets with their published models: for tests and benchmarks only. `folder` is that of all sets."""

import itertools
from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.crystal.scattering import Radiation, structure_factors
from tasks.integrate.reflection_file import Merged
from tasks.model import Composition, UnitCell

CINCHONINE = "cinchonine/DemoData/Cinchonine/shelxl/"


class KnownStructure(NamedTuple):
    """A published model: the asymmetric unit."""

    cell: UnitCell
    space_group: str
    elements: tuple[str, ...]
    positions: NDArray[np.float64]
    u_iso_angstrom2: NDArray[np.float64]
    occupancies: NDArray[np.float64]

    def structure_factors(self, hkl: NDArray[np.int32], radiation: Radiation) -> NDArray[np.complex128]:
        """Return F of the model, (n,)."""
        group = gemmi.SpaceGroup(self.space_group).operations()
        return structure_factors(
            hkl,
            self.cell,
            group,
            elements=self.elements,
            positions=self.positions,
            u_iso_angstrom2=self.u_iso_angstrom2,
            occupancies=self.occupancies,
            radiation=radiation,
        )


class KnownSet(NamedTuple):
    """Where a data set lies and what is known of it."""

    hkl: str
    model: str
    laue: str
    space_group: str
    formula: str
    radiation: Radiation
    cell: tuple[float, float, float, float, float, float]


SETS = {
    "natrolite": KnownSet(
        "natrolite/natrolite_kin.hkl", "natrolite/ccdc_natrolite.cif", "F m m m", "F d d 2", "Na2Al2Si3O12H4",
        "electron", (18.2682, 18.6357, 6.6142, 90, 90, 90),
    ),
    "tyrosine": KnownSet(
        "tyrosine/2.hkl", "tyrosine/2.ins", "P m m m", "P 21 21 21", "C9H11NO3", "electron",
        (6.008, 7.025, 21.69, 90, 90, 90),
    ),
    "luag": KnownSet(
        "luag/LuAG_allframes.hkl", "luag/jana2020_LuAG.cif", "I m -3 m", "I a -3 d", "Lu3Al5O12", "electron",
        (11.9104, 11.9104, 11.9104, 90, 90, 90),
    ),
    "cinchonine-xds": KnownSet(
        CINCHONINE + "shelxl.hkl", CINCHONINE + "shelxl.res", "P 1 2/m 1", "P 1 21 1", "C19H22N2O", "electron",
        (10.732, 7.283, 11.107, 90, 108.06, 90),
    ),
    "cinchonine-dials": KnownSet(
        "cinchonine/dials_baseline/dials.hkl", CINCHONINE + "shelxl.res", "P 1 2/m 1", "P 1 21 1", "C19H22N2O",
        "electron", (10.7373, 7.2758, 11.0947, 90, 108.077, 90),
    ),
    "l-alanine": KnownSet(
        "l-alanine/iam.hkl", "l-alanine/iam.res", "P m m m", "P 21 21 21", "C3H7NO2", "xray", (0, 0, 0, 90, 90, 90)
    ),
    "sucrose": KnownSet(
        "sucrose/DK_Zucker2_0m.hkl", "sucrose/DK_Zucker2_0m.res", "P 1 2/m 1", "P 1 21 1", "C12H22O11", "xray",
        (0, 0, 0, 90, 90, 90),
    ),
}  # fmt: skip


def load_merged(name: str, folder: Path) -> Merged:
    """Return the intensities of a set, merged in its Laue group."""
    known = SETS[name]
    hkl, intensity, sigma = read_hklf4(folder / known.hkl)
    return merge(hkl, intensity, sigma, known.laue)


def load_model(name: str, folder: Path) -> KnownStructure:
    """Return the published model of a set."""
    known = SETS[name]
    path = folder / known.model
    return _from_cif(path, known) if path.suffix == ".cif" else _from_res(path, known)


def load_uio66(folder: Path) -> KnownStructure:
    """Return the idealised model of UiO-66."""
    known = KnownSet("", "", "F m -3 m", "F m -3 m", "Zr6C48H28O32", "electron", (0, 0, 0, 0, 0, 0))
    return _from_cif(folder / "uio66/UiO-66.cif", known)


def composition(name: str) -> Composition:
    """Return the composition of a set."""
    return Composition.parse(SETS[name].formula)


def read_hklf4(path: Path) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """Read SHELX HKLF 4 up to its terminator."""
    rows = []
    for line in path.read_text(errors="replace").splitlines():
        if len(line) < 28 or not line[:12].strip():
            break
        h, k, l = int(line[:4]), int(line[4:8]), int(line[8:12])
        if h == k == l == 0:
            break
        rows.append((h, k, l, float(line[12:20]), float(line[20:28])))
    table = np.array(rows)
    return table[:, :3].astype(np.int32), table[:, 3], table[:, 4]


def merge(hkl: NDArray[np.int32], intensity: NDArray[np.float64], sigma: NDArray[np.float64], laue: str) -> Merged:
    """Merge equivalents by weights 1/sigma^2; sigma is the larger of the propagated and the observed one."""
    operations = gemmi.SpaceGroup(laue).operations()
    asu = gemmi.ReciprocalAsu(gemmi.SpaceGroup(laue))
    sigma = np.maximum(sigma, 1e-3 * np.median(sigma))
    unique = np.array([asu.to_asu(list(map(int, row)), operations)[0] for row in hkl], dtype=np.int32)
    keys, member, count = np.unique(unique, axis=0, return_inverse=True, return_counts=True)
    member = member.reshape(-1)
    weight = 1.0 / sigma**2
    total = np.bincount(member, weights=weight)
    mean = np.bincount(member, weights=weight * intensity) / total
    spread = np.bincount(member, weights=weight * (intensity - mean[member]) ** 2) / total
    external = np.sqrt(spread / np.maximum(1, count - 1))
    return Merged(keys.astype(np.int32), mean, np.maximum(1 / np.sqrt(total), external), count.astype(np.int32))


def _from_cif(path: Path, known: KnownSet) -> KnownStructure:
    blocks = [gemmi.make_small_structure_from_block(block) for block in gemmi.cif.read(str(path))]
    small = max(blocks, key=lambda block: len(block.sites))
    sites = [site for site in small.sites if site.element.atomic_number > 0]
    return KnownStructure(
        UnitCell.of(tuple(small.cell.parameters)),
        known.space_group,
        tuple(site.element.name for site in sites),
        np.array([site.fract.tolist() for site in sites]),
        np.array([site.u_iso if site.u_iso > 0 else 0.01 for site in sites]),
        np.array([site.occ for site in sites]),
    )


def _from_res(path: Path, known: KnownSet) -> KnownStructure:
    text = path.read_text(errors="replace").replace("=\n", " ")
    lines = list(itertools.takewhile(lambda line: line[:4] not in {"HKLF", "END"}, text.splitlines()))
    kinds: list[str] = []
    atoms = []
    cell = UnitCell.of(known.cell) if known.cell[0] else None
    for line in lines:
        words = line.split()
        if not words or line[0] == " " or words[0] in {"ZERR", "TEMP", "PLAN"}:
            continue
        if words[0] == "SFAC":
            kinds += [words[1]] if len(words) > 2 and words[2][0].isdigit() else words[1:]
        elif words[0] == "CELL" and cell is None:
            cell = UnitCell.of(tuple(float(word) for word in words[2:8]))
        elif len(words) >= 6 and words[0][0].isalpha() and words[1].isdigit() and "." in words[2]:
            numbers = [float(word) for word in words[2:]]
            u_values = numbers[4:]
            u_iso = float(np.mean(u_values[:3])) if len(u_values) >= 6 else u_values[0] if u_values else 0.03
            atoms.append((kinds[int(words[1]) - 1], [value % 10 if value > 5 else value for value in numbers[:3]],
                          u_iso if u_iso > 0 else 0.03, numbers[3] - 10 if numbers[3] > 5 else numbers[3]))  # fmt: skip
    if cell is None:
        raise ValueError(f"{path}: no CELL")
    elements, positions, u_isos, occupancies = zip(*atoms, strict=True)
    return KnownStructure(
        cell, known.space_group, tuple(elements), np.array(positions), np.array(u_isos), np.array(occupancies)
    )
