"""Small real data sets with their published models, for tests and benchmarks of the solution stage.

The loader reads HKLF 4 text by itself, merges in the given Laue class and writes the Reflections document that
the stage takes: cell, intensities and Laue class only. The published model never reaches the solver.
"""

from pathlib import Path
from typing import NamedTuple

import gemmi
import numpy as np
from numpy.typing import NDArray

from tasks.integrate.models import Reflections, ShellStatistics, SpaceGroupCandidate
from tasks.integrate.reflection_file import Merged, Unmerged, write_reflections
from tasks.model import FileRef, UnitCell
from tasks.model.provenance import Provenance


class Published(NamedTuple):
    """Non-hydrogen atoms of the published model: symbols, (m, 3) fractional, in `group`."""

    elements: tuple[str, ...]
    positions: NDArray[np.float64]
    group: gemmi.SpaceGroup


class Case(NamedTuple):
    """One data set."""

    name: str
    hkl: Path
    cell: UnitCell
    laue: str
    radiation: str
    composition: str
    published: Published
    r1_published: float


def read_hklf4(path: Path) -> tuple[NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """Read h k l I sigma up to the 0 0 0 line."""
    rows = []
    for line in path.read_text().splitlines():
        try:
            row = [int(line[0:4]), int(line[4:8]), int(line[8:12]), float(line[12:20]), float(line[20:28])]
        except ValueError:
            continue
        if not any(row[:3]):
            break
        rows.append(row)
    table = np.array(rows)
    return table[:, :3].astype(np.int32), table[:, 3], table[:, 4]


def representatives(hkl: NDArray[np.int32], laue: str) -> NDArray[np.int32]:
    """Return the member of each reflection's Laue orbit that sorts last, (n, 3)."""
    rotations = np.array([op.rot for op in gemmi.SpaceGroup(laue).operations().sym_ops]) // gemmi.Op.DEN
    best = hkl.astype(np.int64)
    for rotation in rotations:
        image = hkl @ rotation
        key, best_key = _key(image), _key(best)
        best = np.where((key > best_key)[:, None], image, best)
    return best.astype(np.int32)


def _key(hkl: NDArray[np.int64]) -> NDArray[np.int64]:
    return (hkl[:, 0] + 500) * 1_000_000 + (hkl[:, 1] + 500) * 1000 + hkl[:, 2] + 500


def merge(hkl: NDArray[np.int32], intensity: NDArray[np.float64], sigma: NDArray[np.float64], laue: str) -> Merged:
    """Merge with weights 1/sigma^2; lattice absences left out."""
    group = gemmi.SpaceGroup(laue).operations()
    keep = np.array([not group.is_systematically_absent(list(map(int, h))) for h in hkl])
    asu = representatives(hkl[keep], laue)
    unique, member, count = np.unique(asu, axis=0, return_inverse=True, return_counts=True)
    weight = 1 / np.maximum(sigma[keep], 1e-3 * np.median(sigma)) ** 2
    total = np.bincount(member, weights=weight)
    mean = np.bincount(member, weights=weight * intensity[keep]) / total
    spread = np.bincount(member, weights=weight * (intensity[keep] - mean[member]) ** 2) / total
    esd = np.sqrt(np.maximum(1 / total, spread / np.maximum(count - 1, 1)))
    return Merged(unique.astype(np.int32), mean, esd, count.astype(np.int32))


def reflections_document(
    folder: Path, *, name: str, merged: Merged, cell: UnitCell, laue: str, radiation: str, wavelength: float = 0.0251
) -> Reflections:
    """Write the .npz files and return the document that the stage takes."""
    folder.mkdir(parents=True, exist_ok=True)
    zeros = np.zeros(len(merged.hkl))
    unmerged = Unmerged(merged.hkl, merged.intensity, merged.sigma, zeros, zeros.astype(np.int32))
    d = cell.gemmi().calculate_d_array(merged.hkl)
    shell = ShellStatistics(
        d_max_angstrom=float(d.max()), d_min_angstrom=float(d.min()), observations=int(merged.multiplicity.sum()),
        unique=len(d), completeness=completeness(merged.hkl, cell, laue),
        multiplicity=float(merged.multiplicity.mean()),
        i_over_sigma=float(np.mean(merged.intensity / merged.sigma)), r_meas=None, r_pim=None, cc_half=None,
    )  # fmt: skip
    group = gemmi.SpaceGroup(laue)
    text = folder / "data.hkl"
    text.write_text(
        "".join(
            f"{h:4d}{k:4d}{l:4d}{i:8.7g}{s:8.7g}\n"[:29]
            for (h, k, l), i, s in zip(merged.hkl, merged.intensity, merged.sigma)
        )
    )
    return Reflections(
        id=name, members=(name,), radiation=radiation, wavelength_angstrom=wavelength, unit_cell=cell,
        laue_group=laue, space_group=laue, candidates=(SpaceGroupCandidate(symbol=laue, hall=group.hall, score=1.0),),
        overall=shell, shells=(shell,), unmerged=write_reflections(unmerged, folder / "unmerged.npz"),
        merged=write_reflections(merged, folder / "merged.npz"), hklf4=FileRef.of(text),
        provenance=Provenance(engine="test", version="0"),
    )  # fmt: skip


def completeness(hkl: NDArray[np.int32], cell: UnitCell, laue: str) -> float:
    """Return the fraction of the unique reflections to the d_min of `hkl`."""
    d_min = float(cell.gemmi().calculate_d_array(hkl).min())
    expected = gemmi.make_miller_array(cell.gemmi(), gemmi.SpaceGroup(laue), d_min * 0.9999)
    return len(hkl) / len(expected)


def load(case: Case, folder: Path) -> Reflections:
    """Read, merge and write one case."""
    merged = merge(*read_hklf4(case.hkl), case.laue)
    return reflections_document(
        folder, name=case.name, merged=merged, cell=case.cell, laue=case.laue, radiation=case.radiation
    )


def from_cif(path: Path) -> Published:
    """Read a published model from a CIF."""
    blocks = [block for block in gemmi.cif.read(str(path)) if block.find_values("_atom_site_fract_x")]
    structure = gemmi.make_small_structure_from_block(blocks[0])
    sites = [site for site in structure.sites if site.element.name not in {"H", "D"}]
    return Published(
        tuple(site.element.name for site in sites),
        np.array([list(site.fract) for site in sites]),
        structure.spacegroup,
    )


def from_res(path: Path, symbol: str) -> Published:
    """Read a published model from a SHELX .ins or .res: atom lines with coordinates and a U."""
    elements: list[str] = []
    sites = []
    factors: list[str] = []
    inside = False
    for line in path.read_text().splitlines():
        part = line.split()
        if not part:
            continue
        if part[0] == "SFAC":
            factors += [p for p in part[1:] if p.isalpha()]
        elif part[0] == "FVAR":
            inside = True
        elif inside and len(part) >= 6 and part[1].isdigit() and part[0][0].isalpha() and part[0][0] != "Q":
            try:
                sites.append([float(p) for p in part[2:5]])
            except ValueError:
                continue
            elements.append(factors[int(part[1]) - 1])
        elif part[0] == "HKLF":
            break
    keep = [i for i, e in enumerate(elements) if e != "H"]
    return Published(tuple(elements[i] for i in keep), np.array(sites)[keep], gemmi.SpaceGroup(symbol))


def all_cases(folder: Path) -> list[Case]:
    """Return the real data sets below the folder of all sets."""
    cin = folder / "cinchonine"
    return [
        Case("l-alanine", folder / "l-alanine/iam.hkl", UnitCell.of((5.9279, 12.2597, 5.7939, 90, 90, 90)), "P m m m",
             "xray", "C3 H7 N O2", from_res(folder / "l-alanine/iam.res", "P 21 21 21"), 0.0285),
        Case("sucrose", folder / "sucrose/DK_Zucker2_0m.hkl",
             UnitCell.of((7.716, 8.6638, 10.8118, 90, 102.982, 90)), "P 1 2/m 1", "xray", "C12 H22 O11",
             from_res(folder / "sucrose/DK_Zucker2_0m.res", "P 1 21 1"), 0.0226),
        Case("natrolite", folder / "natrolite/natrolite_kin.hkl",
             UnitCell.of((18.2682, 18.6357, 6.6142, 90, 90, 90)), "F m m m", "electron", "Na2 Al2 Si3 O12 H4",
             from_cif(folder / "natrolite/jana2006_natrolite.cif"), 0.119),
        Case("luag", folder / "luag/LuAG_allframes.hkl", UnitCell.of((11.9104,) * 3 + (90, 90, 90)), "I m -3 m",
             "electron", "Lu3 Al5 O12", from_cif(folder / "luag/jana2020_LuAG.cif"), 0.073),
        Case("tyrosine", folder / "tyrosine/2.hkl", UnitCell.of((6.008, 7.025, 21.69, 90, 90, 90)), "P m m m",
             "electron", "C9 H11 N O3", from_res(folder / "tyrosine/2.ins", "P 21 21 21"), 0.119),
        Case("cinchonine", cin / "DemoData/Cinchonine/shelxl/shelxl.hkl",
             UnitCell.of((10.732, 7.283, 11.107, 90, 108.06, 90)), "P 1 2/m 1", "electron", "C19 H22 N2 O",
             from_res(cin / "DemoData/Cinchonine/shelxl/shelxl.res", "P 1 21 1"), 0.1765),
        Case("cinchonine-dials", cin / "dials_baseline/dials.hkl",
             UnitCell.of((10.732, 7.283, 11.107, 90, 108.06, 90)), "P 1 2/m 1", "electron", "C19 H22 N2 O",
             from_res(cin / "DemoData/Cinchonine/shelxl/shelxl.res", "P 1 21 1"), 0.1765),
    ]  # fmt: skip
