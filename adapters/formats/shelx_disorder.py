"""What SHELXL's INS and RES say of disorder: free variables, site occupancies, parts, shared displacements, a mask."""

from tasks.refine import Draft, DraftAtom

FIXED = 10.0
"""SHELX adds this to a parameter that is not refined; ten times its number to one that is a multiple of a variable."""


def free_variables(draft: Draft) -> dict[str, int]:
    """Return the number of the free variable of each group of occupancies; the first one is the scale."""
    names = sorted({atom.occupancy_group.lstrip("-") for atom in draft.atoms if atom.occupancy_group is not None})
    return {name: number for number, name in enumerate(names, 2)}


def variable_values(draft: Draft) -> list[float]:
    """Return the values of the free variables after the scale."""
    values = {}
    for atom in draft.atoms:
        if atom.occupancy_group is not None:
            rest = atom.occupancy_group.startswith("-")
            values[atom.occupancy_group.lstrip("-")] = 1.0 - atom.occupancy if rest else atom.occupancy
    return [values[name] for name in free_variables(draft)]


def occupancy_code(atom: DraftAtom, site_share: float, variables: dict[str, int]) -> str:
    """Return the site occupancy factor of an atom line: 11 for an atom that is there, 21 and -21 for two of a disorder.

    ``site_share`` is the multiplicity of the site over that of the general position.
    """
    if atom.occupancy_group is None:
        return f"{FIXED + atom.occupancy * site_share:.5f}"
    code = 10.0 * variables[atom.occupancy_group.lstrip("-")] + site_share
    return f"{-code if atom.occupancy_group.startswith('-') else code:.5f}"


def instructions(draft: Draft, names: dict[str, str]) -> list[str]:
    """Return EADP for displacements shared by atoms, and ABIN for what the pores add to F(calc)."""
    lines = [f"EADP {names[atom.u_as]} {names[atom.label]}" for atom in draft.atoms if atom.u_as is not None]
    return [*lines, *(["ABIN"] if draft.solvent is not None else [])]
