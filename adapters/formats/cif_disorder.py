"""Disorder in a CIF's table of atoms."""

from tasks.refine import Draft, DraftAtom


def disorder_tags(draft: Draft) -> tuple[str, ...]:
    """Return the columns that a disordered structure adds to the table of atoms."""
    if not any(atom.part or atom.occupancy_group is not None for atom in draft.atoms):
        return ()
    return ("refinement_flags_occupancy", "disorder_assembly", "disorder_group")


def disorder_cells(draft: Draft, atom: DraftAtom) -> list[str]:
    """Return what these columns hold for an atom: whether its occupancy is refined, its assembly and its part."""
    if not disorder_tags(draft):
        return []
    refined = "." if atom.occupancy_group is None else "P"
    if not atom.part:
        return [refined, ".", "."]
    names = sorted({(other.occupancy_group or "").lstrip("-") for other in draft.atoms if other.part})
    letter = chr(ord("A") + names.index((atom.occupancy_group or "").lstrip("-")) % 26)
    return [refined, letter, str(atom.part)]
