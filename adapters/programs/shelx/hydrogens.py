"""Riding hydrogen atoms for SHELXL: AFIX groups put into its own result file. Pure text."""

import re

from adapters.formats.shelx_ins import ShelxFile
from adapters.formats.shelx_writer import AFIX, shelx_names
from tasks.crystal.scattering import Radiation
from tasks.model import Composition, UnitCell
from tasks.refine import Draft, DraftAtom, RidingGroup, with_hydrogens

HYDROGEN = frozenset({"H", "D"})


def riding_draft(
    result: ShelxFile, *, hall: str, cell: UnitCell, radiation: Radiation, composition: Composition
) -> Draft | None:
    """Return the model of a result file with the hydrogen atoms that its geometry demands; None if there are none.

    Models that have hydrogen atoms already get none, and elements without a number on SFAC cannot be added.
    """
    if any(atom.element in HYDROGEN for atom in result.atoms) or "H" not in result.elements:
        return None
    atoms = tuple(
        DraftAtom(
            label=atom.name,
            element=atom.element,
            position=atom.position,
            u_iso_angstrom2=max(0.005, atom.u[0] if len(atom.u) == 1 else sum(atom.u[:3]) / 3),
        )
        for atom in result.atoms
    )
    found = with_hydrogens(Draft(hall=hall, unit_cell=cell, atoms=atoms), radiation, composition)
    return found if found.riding else None


def with_afix(text: str, draft: Draft, elements: tuple[str, ...]) -> str:
    """Return a result file up to its END, each group of hydrogen atoms behind the atom that carries it.

    A hydrogen atom takes the site occupation of its carrier; its U is a multiple of the carrier's.
    """
    lines = text[: text.upper().rfind("\nEND")].splitlines()
    names = shelx_names([atom.label for atom in draft.atoms])
    carried = {group.pivot.upper(): group for group in draft.riding}
    out: list[str] = []
    pending: RidingGroup | None = None
    occupation = "11.00000"
    for line in lines:
        out.append(line)
        word = line.split()[0].upper() if line.strip() and not line[0].isspace() else ""
        if word in carried and len(line.split()) >= 6:
            pending, occupation = carried.pop(word), line.split()[5]
        if pending is not None and not line.rstrip().endswith("="):
            out += _group(pending, draft, names, occupation=occupation, number=elements.index("H") + 1)
            pending = None
    return "\n".join([*out, "END", ""])


def count_riding(text: str) -> int:
    """Return the number of AFIX groups that carry hydrogen atoms."""
    return len(re.findall(r"(?m)^AFIX\s+[1-9]", text))


def _group(group: RidingGroup, draft: Draft, names: dict[str, str], *, occupation: str, number: int) -> list[str]:
    atoms = {atom.label: atom for atom in draft.atoms}
    lines = [f"AFIX {AFIX[group.kind]} {group.bond_length_angstrom:.3f}"]
    for label in group.hydrogens:
        place = " ".join(f"{x:10.6f}" for x in atoms[label].position)
        lines.append(f"{names[label]:4s} {number:2d} {place} {occupation} {-group.u_ratio:.5f}")
    return [*lines, "AFIX 0"]
