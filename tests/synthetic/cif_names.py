"""Names in our CIFs that the core dictionary has not."""

OUTSIDE_CORE = (
    "_vrf_",
    "_refine_diff.potential",
    "_refine.diffraction_theory",
    "_restr_",
    "_twin_",
    "_smtbx_masks_",
)
"""Beginnings: the IUCr keeps the first for replies to validation; those with a point are of the dictionary for electron
diffraction, then the ones of the restraint and twin dictionaries, and smtbx's for masks."""
