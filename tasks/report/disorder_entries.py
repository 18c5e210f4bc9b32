"""Disorder and what fills the pores, as results.json and the tables of the report say it."""

from typing import Any

from pydantic import Field

from tasks.model import Document, Vector
from tasks.refine import RefinedAtom, Refinement, solvent_in_words


class VoidEntry(Document):
    """One pore of the cell."""

    centre: Vector = Field(description="fractional")
    volume_angstrom3: float
    content: float = Field(description="in electrons or angstrom, as of the whole")


class SolventEntry(Document):
    """What fills the pores and is in F(calc) as a mask."""

    volume_angstrom3: float = Field(description="of all pores of the cell")
    share_of_cell: float
    electrons: float | None = Field(description="in all pores of the cell; null for electron diffraction")
    scattering_length_angstrom: float | None = Field(description="likewise for electron diffraction; null for X-rays")
    voids: tuple[VoidEntry, ...]
    fab: str | None = Field(default=None, description="name of the file that ABIN of SHELXL reads, beside the CIF")


class DisorderEntry(Document):
    """Atoms in two places that are never there together; or some that are not always there, which have no second."""

    atoms: tuple[str, ...]
    second: tuple[str, ...]
    occupancy: float = Field(description="of the first place; the second has the rest")
    occupancy_esd: float | None


def beyond_whole_atoms(model: Refinement) -> dict[str, Any]:
    """Return the entries of results.json on mask and disorder."""
    return {"solvent_mask": _solvent(model), "disorder": _disorder(model)}


def _solvent(model: Refinement) -> SolventEntry | None:
    mask = model.solvent
    if mask is None:
        return None
    electrons = model.density_unit == "e/A^3"
    return SolventEntry(
        volume_angstrom3=mask.volume_angstrom3,
        share_of_cell=mask.accessible_share,
        electrons=mask.content if electrons else None,
        scattering_length_angstrom=None if electrons else mask.content,
        voids=tuple(VoidEntry(**void.model_dump()) for void in mask.voids),
        fab=None if model.fab is None else model.fab.path.name,
    )


def _disorder(model: Refinement) -> tuple[DisorderEntry, ...]:
    heavy = [atom for atom in model.atoms if not atom.riding]
    entries = [
        DisorderEntry(
            atoms=tuple(atom.label for atom in heavy if atom.part == part),
            second=tuple(atom.label for atom in heavy if atom.part == part + 1),
            occupancy=next(atom.occupancy for atom in heavy if atom.part == part),
            occupancy_esd=next(atom.occupancy_esd for atom in heavy if atom.part == part),
        )
        for part in sorted({atom.part for atom in heavy if atom.part % 2 == 1})
    ]
    partial = [atom for atom in heavy if not atom.part and atom.occupancy_esd is not None]
    entries += [
        DisorderEntry(atoms=(atom.label,), second=(), occupancy=atom.occupancy, occupancy_esd=atom.occupancy_esd)
        for atom in partial
    ]
    return tuple(entries)


def occupancy_text(atom: RefinedAtom) -> str:
    """Return the occupancy of an atom, with its standard uncertainty where it was refined, and its part."""
    text = f"{atom.occupancy:g}" if atom.occupancy_esd is None else f"{atom.occupancy:.3f} ± {atom.occupancy_esd:.3f}"
    return f"{text}, part {atom.part}" if atom.part else text


def contents_text(model: Refinement) -> str:
    """Return in words what fills the pores; nothing without a mask."""
    if model.solvent is None:
        return ""
    return solvent_in_words(model.solvent, "xray" if model.density_unit == "e/A^3" else "electron")
