"""Instruction files for the SHELX programs: pure text."""

from collections.abc import Sequence

import gemmi
import numpy as np

from adapters.formats.shelx_ins import ShelxAtom
from adapters.formats.shelx_writer import shelx_names, symmetry_lines
from adapters.formats.twin_text import twin_lines
from tasks.crystal.contents import not_hydrogen, units_by_volume
from tasks.crystal.sites import site_orders
from tasks.crystal.symmetry import operations_from_hall
from tasks.integrate import Reflections, whole_esd
from tasks.model import Composition, UnitCell
from tasks.model.experiment import wavelength_text
from tasks.model.twin import Twin
from tasks.refine import four_gaussians, twin_components
from tasks.solve import Atom


def head(data: Reflections, composition: Composition, *, hall: str, title: str) -> list[str]:
    """Return TITL to UNIT; electrons get the four Gaussians of the electron scattering factor on each SFAC line."""
    z = units_by_volume(composition, data.unit_cell.volume_angstrom3, hall)
    esd = whole_esd(data.unit_cell, data.unit_cell_esd, data.cell_scale) or (0.0,) * 6
    elements = elements_of(composition)
    return [
        f"TITL {title[:70]}",
        f"CELL {wavelength_text(data.wavelength_angstrom)} " + " ".join(f"{x:.4f}" for x in data.unit_cell.parameters),
        f"ZERR {z:g} " + " ".join(f"{x:.4f}" for x in esd),
        *symmetry_lines(hall),
        *scattering_lines(elements, data.radiation),
        "UNIT " + " ".join(f"{composition.counts[element] * z:g}" for element in elements),
    ]


def elements_of(composition: Composition) -> list[str]:
    """Return the elements in the order of the SFAC lines: C, H, then by symbol."""
    return sorted(composition.counts, key=lambda e: ({"C": 0, "H": 1}.get(e, 2), e))


def scattering_lines(elements: list[str], radiation: str) -> list[str]:
    """Return the SFAC lines: one line of names for X-rays, 14 values an element for electrons."""
    if radiation == "xray":
        return ["SFAC " + " ".join(elements)]
    lines = []
    for element in elements:
        a, b = four_gaussians(element)
        entry = gemmi.Element(element)
        terms = [f"{x:.4f} {y:.4f}" for x, y in zip(a, b, strict=True)]
        lines.append(f"SFAC {element} {' '.join(terms[:2])} =")
        lines.append(f"     {' '.join(terms[2:])} 0 0 0 0 {entry.covalent_r:.2f} {entry.weight:.3f}")
    return lines


def shelxt_ins(data: Reflections, composition: Composition) -> str:
    """Return SHELXT's instructions: cell, Laue group (from the best candidate) and elements are all it takes."""
    return _text([*head(data, composition, hall=data.candidates[0].hall, title=data.id), "TREF"])


def shelxs_ins(data: Reflections, composition: Composition, *, hall: str) -> str:
    """Return SHELXS's instructions for direct methods."""
    return _text([*head(data, composition, hall=hall, title=data.id), "TREF 500", "PLAN 60"])


def shelxd_ins(data: Reflections, composition: Composition, *, hall: str, tries: int, seed: int) -> str:
    """Return SHELXD's instructions for dual-space recycling of a small molecule (Sheldrick, 2008, section 4)."""
    order = len(list(gemmi.symops_from_hall(hall)))
    heavy = not_hydrogen(composition)
    unique = max(4, round(heavy * units_by_volume(composition, data.unit_cell.volume_angstrom3, hall) / order))
    rules = [f"FIND {max(3, round(0.7 * unique))}", f"PLOP {unique} {round(1.2 * unique)} {round(1.3 * unique)}"]
    return _text(
        [*head(data, composition, hall=hall, title=data.id), *rules, "MIND 1.0 -0.1", f"NTRY {tries}", f"SEED {seed}"]
    )


def shelxl_ins(
    data: Reflections,
    composition: Composition,
    atoms: tuple[Atom, ...],
    *,
    hall: str,
    weights: tuple[float, float],
    cycles: int,
    anisotropic: bool,
    twin: Twin | None = None,
) -> str:
    """Return SHELXL's instructions for a model; occupancies are multiplied by the site's share."""
    elements = elements_of(composition)
    lines = [
        *head(data, composition, hall=hall, title=data.id),
        f"L.S. {cycles}",
        "BOND",
        "LIST 4",
        "ACTA",
        "FMAP 2",
        "PLAN 20",
        *(["ANIS"] if anisotropic else []),
        *twin_lines(twin_components(twin)),
        f"WGHT {weights[0]:.6f} {weights[1]:.6f}",
        "FVAR 1.0",
    ]
    for label, atom, share in zip(labels(atoms), atoms, site_shares(atoms, hall, data.unit_cell), strict=True):
        x, y, z = atom.position
        lines.append(
            f"{label:4s} {elements.index(atom.element) + 1:2d} {x:10.6f} {y:10.6f} {z:10.6f} "
            f"{10 + atom.occupancy * share:.5f} {max(atom.u_iso_angstrom2, 0.005):.5f}"
        )
    return _text(lines)


def site_shares(atoms: Sequence[Atom | ShelxAtom], hall: str, cell: UnitCell) -> list[float]:
    """Return the multiplicity of each site over that of the general position."""
    positions = np.array([atom.position for atom in atoms], dtype=np.float64).reshape(-1, 3)
    return [1.0 / float(order) for order in site_orders(positions, operations_from_hall(hall), cell)]


def labels(atoms: tuple[Atom, ...]) -> list[str]:
    """Return names of at most four characters, each once: the element and a number."""
    count: dict[str, int] = {}
    names = []
    for atom in atoms:
        count[atom.element] = count.get(atom.element, 0) + 1
        names.append(f"{atom.element}{count[atom.element]}")
    short = shelx_names(names)
    return [short[name] for name in names]


def _text(lines: list[str]) -> str:
    return "\n".join([*lines, "HKLF 4", "END", ""])
