"""The codes of alerts: what each asks, which test of checkCIF it resembles, and what to do about it.

The tests of checkCIF are named by the IUCr's and PLATON's codes (Spek, Acta Cryst. D65, 148-155, 2009, and E76, 1-11,
2020). Ours ask the same questions by our own calculations; their levels are ours and may differ.
"""

from typing import NamedTuple


class AlertCode(NamedTuple):
    """One code."""

    title: str
    resembles: str
    """Of checkCIF's tests; empty: none."""
    advice: str


CODES: dict[str, AlertCode] = {
    "CEL01": AlertCode(
        "volume per atom that is not hydrogen",
        "the 18 A^3 rule; PLAT051",
        "check the scale of the cell, the formula and Z; a porous crystal has more room, an oxide less",
    ),
    "CEL02": AlertCode(
        "atoms in the cell against formula and Z",
        "CELLZ01, PLAT041, PLAT045",
        "correct the formula or Z, or look for atoms that are missing or too many",
    ),
    "CEL03": AlertCode(
        "Z against the multiplicities of the space group",
        "PLAT045",
        "check Z, and whether the molecule lies on a symmetry element",
    ),
    "CEL04": AlertCode(
        "the model against the composition told",
        "PLAT041",
        "look for missing atoms in the difference density, or correct the composition",
    ),
    "SYM01": AlertCode(
        "symmetry that the model has and its space group lacks",
        "PLAT112, PLAT113, PLAT116",
        "solve and refine in the higher symmetry, and keep the lower only if its fit is really better",
    ),
    "SYM02": AlertCode(
        "reflections that the space group forbids",
        "",
        "look at the forbidden reflections; another space group without that glide or screw may be right",
    ),
    "ADP01": AlertCode(
        "displacement not positive definite",
        "PLAT211",
        "check the element and the site; refine isotropically, or restrain the displacements",
    ),
    "ADP02": AlertCode(
        "ratio of the largest to the smallest principal displacement",
        "PLAT213",
        "look for disorder; with few data restrain the displacements",
    ),
    "ADP03": AlertCode(
        "displacement out of the usual range",
        "PLAT197, PLAT220",
        "a small one asks for a heavier element, a large one for a lighter element, disorder or no atom",
    ),
    "ADP04": AlertCode(
        "rigid-bond test of Hirshfeld",
        "PLAT230, PLAT232",
        "check the two elements, look for disorder, restrain the displacements (RIGU)",
    ),
    "ADP05": AlertCode(
        "displacement large beside those of bonded atoms",
        "PLAT241, PLAT243",
        "a lighter element, a part occupied or disorder would explain it",
    ),
    "ADP06": AlertCode(
        "displacement small beside those of bonded atoms",
        "PLAT242, PLAT244",
        "a heavier element would explain it",
    ),
    "OCC01": AlertCode(
        "occupancy", "PLAT300 to PLAT304", "occupancies lie between 0 and 1; those of one site add up to 1 at most"
    ),
    "GEO01": AlertCode("atoms nearer than any bond", "", "take one of the two away, or split the site"),
    "GEO02": AlertCode(
        "contact between molecules too short",
        "PLAT410 to PLAT417, PLAT430 to PLAT434",
        "check the hydrogen atoms and the position of the molecule; a symmetry element may be missing",
    ),
    "GEO03": AlertCode(
        "bonds that do not suit the element", "PLAT360 to PLAT369", "another element may stand there, or hydrogen lack"
    ),
    "GEO04": AlertCode("more bonds than the element forms", "PLAT770", "the element is wrong, or an atom is not there"),
    "GEO05": AlertCode(
        "atom without a partner",
        "PLAT306, PLAT307, PLAT311, PLAT315",
        "is it water whose hydrogen lacks, an ion, noise of the density, or an atom moved to a wrong place?",
    ),
    "GEO06": AlertCode(
        "bond valence of a cation",
        "Brown & Altermatt, Acta Cryst. B41, 244-247 (1985)",
        "check the element, its oxidation state and the scale of the cell",
    ),
    "GEO07": AlertCode(
        "uncertainty of bond lengths",
        "PLAT340 to PLAT345",
        "more or better data; restraints; do not discuss lengths to more digits than they have",
    ),
    "HYD01": AlertCode("hydrogen that the geometry asks for is missing", "", "add the hydrogen atoms"),
    "HYD02": AlertCode(
        "bond of a hydrogen atom",
        "PLAT352 to PLAT354",
        "place the hydrogen atom by geometry, at the distances of the radiation that was used",
    ),
    "ELM01": AlertCode(
        "element not settled against others of the composition",
        "",
        "compare the models with both elements, or ask another method",
    ),
    "VOI01": AlertCode(
        "void that a solvent molecule would fill",
        "PLAT601, PLAT602, PLAT605",
        "look for solvent in the difference density, or describe the pore by a solvent mask",
    ),
    "DEN01": AlertCode(
        "highest peak of the difference density",
        "DIFMX01, DIFMX02, PLAT097, PLAT971",
        "an atom may be missing there, or the one near it be too light or disordered",
    ),
    "DEN02": AlertCode(
        "deepest hole of the difference density",
        "DIFMN02, DIFMN03, PLAT098, PLAT972",
        "the atom near it may be too heavy, or not be there",
    ),
    "DAT01": AlertCode(
        "completeness of the data",
        "PLAT029, PLAT022, THETM01",
        "measure a wider range of tilts, or merge crystals in other orientations",
    ),
    "DAT02": AlertCode(
        "resolution of the data",
        "THETM01",
        "measure to a higher resolution; below it atoms are not separated and bonds are uncertain",
    ),
    "DAT03": AlertCode(
        "agreement of equivalent reflections",
        "RINTA01, PLAT020",
        "check the Laue group, the scaling of frames and for misfits; several crystals merged may not be one form",
    ),
    "DAT04": AlertCode(
        "radiation and wavelength",
        "",
        "state radiation and wavelength as they were: scattering factors follow from them",
    ),
    "DAT05": AlertCode(
        "share of the reflections that are observed", "PLAT026", "cut the data where they fade, or measure longer"
    ),
    "DAT06": AlertCode(
        "reflections per parameter",
        "REFNR01, PLAT088, PLAT089",
        "restrain the model, refine fewer parameters, or measure to a higher resolution",
    ),
    "FIT01": AlertCode(
        "R1 of observed reflections", "RFACG01, PLAT082", "something is missing in the model, or the data are poor"
    ),
    "FIT02": AlertCode("wR2 of all reflections", "RFACR01, PLAT084", "look at the worst reflections and the weights"),
    "FIT03": AlertCode("goodness of fit", "GOODF01, PLAT087", "look at the weights and at the sigmas of the data"),
    "FIT04": AlertCode(
        "last shift over its uncertainty",
        "SHFSU01, PLAT080",
        "refine on to convergence; a parameter that does not come to rest is not determined by the data",
    ),
    "FIT05": AlertCode(
        "weights far from those of the measurement",
        "PLAT083, PLAT084",
        "the model does not explain the data within their errors: look for twinning, disorder, absorption",
    ),
    "ABS01": AlertCode(
        "absolute structure",
        "STRVA01, PLAT033, PLAT791",
        "refine the Flack parameter, or state that the absolute structure was not determined",
    ),
}
