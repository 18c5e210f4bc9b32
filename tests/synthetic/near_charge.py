"""Salts whose cation and anion scatter alike and stand on sites of one multiplicity, so that names may be exchanged."""

from pathlib import Path

SALTS = {
    "InI": ("C m c m", (4.75, 12.76, 4.91, 90, 90, 90), "In 0 0.398 0.25 I 0 0.145 0.25"),
    "SnI4": ("P a -3", (12.26, 12.26, 12.26, 90, 90, 90),
             "Sn 0.129 0.129 0.129 I 0.253 0.253 0.253 I 0.009 0.001 0.253"),
    "Sb2Te3": ("R -3 m:H", (4.264, 4.264, 30.458, 90, 90, 120), "Sb 0 0 0.3985 Te 0 0 0 Te 0 0 0.2115"),
    "GaSe": ("P 63/m m c", (3.742, 3.742, 15.919, 90, 90, 120),
             "Ga 0.333333 0.666667 0.174 Se 0.333333 0.666667 0.602"),
}  # fmt: skip
"""Group, cell and sites of the types TlI, SnI4, tetradymite and beta-GaSe, about as published."""


LOOP = "loop_\n_atom_site_label\n_atom_site_type_symbol\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z"
EDGES = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def near_charge_cifs(folder: Path) -> list[Path]:
    """Write a CIF of each into a folder; return their paths."""
    paths = []
    for name, (symbol, cell, sites) in SALTS.items():
        words = sites.split()
        rows = [f"{words[i]}{i // 4 + 1} {' '.join(words[i : i + 4])}" for i in range(0, len(words), 4)]
        lines = [f"_cell_{edge} {value}" for edge, value in zip(EDGES, cell, strict=True)]
        path = folder / f"{name}.cif"
        text = [f"data_{name}", *lines, f"_symmetry_space_group_name_H-M '{symbol}'", LOOP, *rows, ""]
        path.write_text("\n".join(text), encoding="utf-8")
        paths.append(path)
    return paths
