"""What fills the pores: SHELXL's FAB file, and the items by which smtbx and Olex2 say it in a CIF."""

import textwrap

import numpy as np
from gemmi import cif

from tasks.refine import RefinedStructure, SolventMask, solvent_in_words

MASK_TAGS = ("nr", "average_x", "average_y", "average_z", "volume", "count_electrons", "content")


def fab_text(mask: SolventMask) -> str:
    """Return h k l A B of the part of F(calc) that is no atoms, as SHELXL's ABIN reads it beside the HKL file."""
    with np.load(mask.table.path, allow_pickle=False) as file:
        hkl, f_mask = file["hkl"], file["f_mask"]
    rows = (f"{h:4d}{k:4d}{l:4d} {f.real:12.5f} {f.imag + 0.0:12.5f}" for (h, k, l), f in zip(hkl, f_mask, strict=True))
    return "\n".join([*rows, f"{0:4d}{0:4d}{0:4d} {0.0:12.5f} {0.0:12.5f}", ""])


def mask_pairs(structure: RefinedStructure) -> list[tuple[str, str]]:
    """Return in words what the mask is and how much it stands for."""
    mask = structure.fit.draft.solvent
    if mask is None:
        return []
    method = (
        "Structure factors of the difference density in the pores (van der Sluis & Spek, Acta Cryst. A46, 194-201, "
        f"1990; probe {mask.probe_angstrom:.1f} A) are added to F(calc); observed intensities are as measured. "
        "ABIN of SHELXL reads them from the FAB file."
    )
    said = solvent_in_words(mask, structure.intensities.radiation)
    lines = [line for text in (said[0].upper() + said[1:] + ".", method) for line in textwrap.wrap(text, 78)]
    return [("_smtbx_masks_special_details", cif.quote("\n".join(lines)))]


def mask_rows(structure: RefinedStructure) -> list[list[str]]:
    """Return a row for each pore; electrons where X-rays counted them, unknown for electron diffraction."""
    mask = structure.fit.draft.solvent
    if mask is None:
        return []
    xray = structure.intensities.radiation == "xray"
    return [
        [
            str(number),
            *(f"{x:.3f}" for x in void.centre),
            f"{void.volume_angstrom3:.1f}",
            f"{void.content:.1f}" if xray else "?",
            "?",
        ]
        for number, void in enumerate(mask.voids, 1)
    ]
