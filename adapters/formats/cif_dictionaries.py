"""One set of names for what CIFs of three dictionaries say of cell and symmetry: core, core in DDLm, mmCIF."""

import gemmi

CELL = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
SYMMETRY = {
    "_space_group_name_Hall": ("_space_group.name_Hall", "_symmetry.space_group_name_Hall"),
    "_space_group_name_H-M_alt": (
        "_space_group.name_H-M_alt",
        "_space_group.name_H-M_full",
        "_symmetry.space_group_name_H-M",
    ),
    "_space_group_IT_number": ("_space_group.IT_number", "_symmetry.Int_Tables_number"),
}
"""Items of the core dictionary, and what they are called with points."""
OPERATIONS = ("_space_group_symop.operation_xyz", "_symmetry_equiv.pos_as_xyz")


def small_structure(block: gemmi.cif.Block) -> gemmi.SmallStructure:
    """Return gemmi's structure of a data block, which knows the names of the core dictionary only."""
    unmerged = _one_unmerged_cell(block)
    if block.find_value("_cell.length_a") is None and not unmerged:
        return gemmi.make_small_structure_from_block(block)
    core = gemmi.cif.Block(block.name)
    for name, value in zip(CELL, unmerged, strict=False):
        core.set_pair(f"_cell_{name}", value)
    for name in CELL:
        _copy(block, core, f"_cell_{name}", (f"_cell.{name}",))
    for name, others in SYMMETRY.items():
        _copy(block, core, name, others)
    operations = next((column for tag in OPERATIONS if len(column := block.find_values(tag))), None)
    if operations is not None:
        loop = core.init_loop("_space_group_symop_", ["operation_xyz"])
        for operation in operations:
            loop.add_row([operation])
    return gemmi.make_small_structure_from_block(core)


def _one_unmerged_cell(block: gemmi.cif.Block) -> list[str]:
    """Return the cell of unmerged data if it is the same for all crystals, else nothing."""
    columns = [list(block.find_values(f"_pdbx_diffrn_unmerged_cell.cell_{name}")) for name in CELL]
    return [column[0] for column in columns] if all(len(set(column)) == 1 for column in columns) else []


def _copy(block: gemmi.cif.Block, core: gemmi.cif.Block, name: str, others: tuple[str, ...]) -> None:
    value = next((found for tag in others if (found := block.find_value(tag)) not in {None, "?", "."}), None)
    if value is not None:
        core.set_pair(name, value)
