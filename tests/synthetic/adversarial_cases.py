"""Cases made to deceive, and right ones not to be refused: what the user has, what is true, what must be said."""

import re
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

import gemmi
import numpy as np

from tasks.simulate.models import Structure, StructureAtom
from tests.synthetic import adversarial_data as faults
from tests.synthetic.adversarial_data import Fault, How, Law, Spoilt, observed
from tests.synthetic.adversarial_structures import published
from tests.synthetic.many_beam_sets import hklf4_text
from tests.synthetic.random_structures import random_molecule

CAUSES = {
    "composition": r"composition|elements are (not|open)",
    "elements": r"element|composition",
    "twin": r"twin",
    "two crystals": r"two (crystals|phases|structures)|mixture|more than one|equivalents (disagree|differ)|overlap of",
    "unrelated": r"belong together|unrelated|no structure|nothing but noise|random",
    "lengths": r"scale|lengths|wavelength|camera length|energy",
    "cell": r"\bcell\b|axes|indices",
    "supercell": r"supercell",
    "subcell": r"doubl|larger cell|superstructure|superlattice|half-occupied|split|two places|volume|cell",
    "symmetry": r"centre|symmetry|group",
    "dynamical": r"dynamical|multiple scattering|multiply",
    "incomplete": r"measured|complete|missing",
    "counting": r"strong(est)? reflections|extinction|saturat|not counted",
    "resolution": r"resolution|separate atoms",
    "laue": r"Laue|equivalents|symmetry",
    "few": r"few|reflections per parameter|only \d+ (unique )?reflections",
    "outliers": r"outlier|few reflections|shell|ring|row",
    "background": r"negative|background|signal",
}
"""What the first reason must match, ignoring case, where a deceived run is not solved."""


class Recipe(NamedTuple):
    """How a case is made; `told` is the composition given: "own" is the true one, None none."""

    structure: str
    cause: str = ""
    how: How = How()
    faults: tuple[Fault, ...] = ()
    told: str | None = "own"
    true: bool = True
    """Whether the structure is in the data at all."""


class Case(NamedTuple):
    """What a user has on disk, and beside it the truth, which no run opens."""

    name: str
    hkl: Path
    cell: str
    space_group: str | None
    radiation: str
    composition: str | None
    honest: bool
    cause: str
    twin: bool
    truth: Structure | None


HEMIHEDRAL: Law = ((0, 1, 0), (1, 0, 0), (0, 0, -1))
"""k,h,-l: of scheelite, apatite and dolomite, the two-fold axis that their Laue class lacks."""
DAUPHINE: Law = ((-1, 0, 0), (0, -1, 0), (0, 0, 1))
MONOCLINIC: Law = ((1, 0, 0), (0, -1, 0), (0, 0, -1))
"""h,-k,-l: pseudo-merohedral, of a monoclinic cell whose angle is nearly right."""
LAWS = {"quartz": DAUPHINE, "scheelite": HEMIHEDRAL, "cryolite": MONOCLINIC, "apatite": HEMIHEDRAL,
        "dolomite": HEMIHEDRAL}  # fmt: skip
XRAY = How(radiation="xray", noise=0.03)
FINE = How(d_min=0.7)
THICK = How(thickness=3.0, leak=0.05)


def _own(name: str) -> gemmi.GroupOps:
    return _structure(name).group


DECEIVING: dict[str, Recipe] = {
    # no composition
    **{f"untold-{name}": Recipe(name, "composition", told=None)
       for name in ("apatite", "forsterite", "calcite", "scheelite", "corundum", "anhydrite", "zabuyelite")},
    "untold-calcite-xray": Recipe("calcite", "composition", XRAY, told=None),
    # twins
    **{f"twin-{name}-{percent}": Recipe(name, "twin", How(twin=LAWS[name], fraction=percent / 100))
       for name in ("quartz", "scheelite", "cryolite", "apatite") for percent in (10, 30, 50)},
    "twin-dolomite-50": Recipe("dolomite", "twin", How(twin=HEMIHEDRAL, fraction=0.5)),
    # more than one crystal
    "merged-forsterite": Recipe("forsterite", "two crystals",
                                faults=(faults.merged_with(published("diopside"), 0.5, How()),)),
    "merged-quartz": Recipe("quartz", "two crystals",
                            faults=(faults.merged_with(published("corundum"), 0.4, How()),)),
    # no structure
    **{f"shuffled-{name}": Recipe(name, "unrelated", faults=(faults.shuffled(1.0, _group),), true=False)
       for name, _group in ((name, published(name).group) for name in ("forsterite", "kyanite", "quartz"))},
    "shuffled-halite": Recipe("halite", "few", faults=(faults.shuffled(1.0, published("halite").group),), true=False),
    "half-shuffled-forsterite": Recipe("forsterite", "unrelated",
                                       faults=(faults.shuffled(0.5, published("forsterite").group),)),
    "half-shuffled-apatite": Recipe("apatite", "unrelated",
                                    faults=(faults.shuffled(0.5, published("apatite").group),)),
    "noise-diopside": Recipe("diopside", "background", faults=(faults.nothing,), true=False),
    "random-brookite": Recipe("brookite", "unrelated", faults=(faults.random_intensities,), true=False),
    # wrong lengths, cells and axes
    "wavelength-anhydrite": Recipe("anhydrite", "lengths", faults=(faults.stretched(1.27, 1.27, 1.27),)),
    "wavelength-apatite": Recipe("apatite", "lengths", faults=(faults.stretched(0.785, 0.785, 0.785),)),
    "axis-forsterite": Recipe("forsterite", "cell", faults=(faults.stretched(1.0, 1.2, 1.0),)),
    "axis-coesite": Recipe("coesite", "cell", faults=(faults.stretched(0.8, 1.0, 1.0),)),
    "supercell-anhydrite": Recipe("anhydrite", "supercell", faults=(faults.in_a_supercell(2, 2),)),
    "supercell-rutile": Recipe("rutile", "supercell", faults=(faults.in_a_supercell(2, 3),)),
    "subcell-kyanite": Recipe("kyanite", "subcell", faults=(faults.in_a_subcell(1),)),
    "subcell-brookite": Recipe("brookite", "subcell", faults=(faults.in_a_subcell(0),)),
    "permuted-forsterite": Recipe("forsterite", "cell", faults=(faults.reindexed(((0, 1, 0), (1, 0, 0), (0, 0, -1))),)),
    "sign-diopside": Recipe("diopside", "cell", faults=(faults.reindexed(((-1, 0, 0), (0, 1, 0), (0, 0, 1))),)),
    # symmetry
    "pseudo-titanate": Recipe("titanate", "symmetry", FINE),
    "pseudo-niobate": Recipe("niobate", "symmetry"),
    "centre-corundum": Recipe("corundum", "symmetry", FINE, faults=(faults.told_group("R 3 c"),)),
    "centre-forsterite": Recipe("forsterite", "symmetry", FINE, faults=(faults.told_group("P b n 21"),)),
    "laue-scheelite": Recipe("scheelite", "laue", faults=(faults.told_group("I 41/a m d"),)),
    "laue-dolomite": Recipe("dolomite", "laue", faults=(faults.told_group("R -3 c"),)),
    "laue-quartz": Recipe("quartz", "laue", faults=(faults.told_group("P 62 2 2"),)),
    # elements and compositions
    "exchanged-kyanite": Recipe("kyanite", "elements", told="Al Si2 O5"),
    "exchanged-blende": Recipe("blende", "elements", told="Cu P"),
    "exchanged-halite": Recipe("halite", "elements", told="Mg O"),
    "exchanged-halite-xray": Recipe("halite", "elements", XRAY, told="Mg O"),
    "exchanged-anhydrite": Recipe("anhydrite", "elements", told="K P O4"),
    "exchanged-forsterite": Recipe("forsterite", "elements", told="Na2 P F4"),
    "other-quartz": Recipe("quartz", "elements", told="Al P O4"),
    "other-forsterite": Recipe("forsterite", "elements", told="Ca C O3"),
    "other-calcite": Recipe("calcite", "elements", told="C19 H22 N2 O"),
    "other-apatite": Recipe("apatite", "elements", told="Si O2"),
    # bad measurements
    "dynamical-forsterite": Recipe("forsterite", "dynamical", THICK),
    "dynamical-apatite": Recipe("apatite", "dynamical", How(thickness=5.0, leak=0.1)),
    "cone-kyanite": Recipe("kyanite", "incomplete", faults=(faults.in_cone(0.3),)),
    "cone-coesite": Recipe("coesite", "incomplete", faults=(faults.in_cone(0.25),)),
    "lossy-corundum": Recipe("corundum", "counting", faults=(faults.saturated(2.0),)),
    "lossy-apatite": Recipe("apatite", "counting", faults=(faults.saturated(2.0),)),
    "coarse-kyanite": Recipe("kyanite", "resolution", faults=(faults.beyond(1.6),)),
    "coarse-apatite": Recipe("apatite", "resolution", faults=(faults.beyond(1.8),)),
    "few-kyanite": Recipe("kyanite", "few", faults=(faults.few(14),)),
    "few-naphthalene": Recipe("naphthalene", "few", faults=(faults.few(40),)),
    "outliers-forsterite": Recipe("forsterite", "outliers", faults=(faults.outliers(15.0),)),
    "negative-diopside": Recipe("diopside", "background", faults=(faults.oversubtracted(0.5),)),
}  # fmt: skip
HONEST: dict[str, Recipe] = {
    **{f"right-{name}": Recipe(name) for name in (
        "apatite", "scheelite", "cryolite", "calcite", "dolomite", "niobate", "rutile", "brookite", "anhydrite",
        "coesite", "zabuyelite", "pyrite", "halite", "fluorite", "blende", "forsterite", "diopside", "albite",
        "kyanite", "quartz", "corundum", "urea", "naphthalene")},
    **{f"right-{name}-xray": Recipe(name, how=XRAY) for name in (
        "apatite", "calcite", "quartz", "kyanite", "diopside", "naphthalene", "pyrite", "halite", "fluorite")},
    "flat-corundum": Recipe("corundum", how=How(d_min=0.6, u_scale=0.5, noise=0.03)),
    "flat-kyanite": Recipe("kyanite", how=How(d_min=0.7, u_scale=0.4, noise=0.03)),
    "flat-forsterite": Recipe("forsterite", how=How(d_min=0.65, u_scale=0.4, noise=0.03)),
    "molecule-p21c": Recipe("molecule P 1 21/c 1 9", how=How(d_min=0.85)),
    "molecule-p212121": Recipe("alanine", how=How(d_min=0.85)),
    "molecule-p-1": Recipe("molecule P -1 12", how=How(d_min=0.85)),
}  # fmt: skip
RECIPES = {**DECEIVING, **HONEST}


def _structure(name: str) -> Structure:
    """Return a published structure, or a molecule made at random: "molecule GROUP ATOMS"."""
    if not name.startswith("molecule"):
        return published(name)
    _, *group, count = name.split()
    known = random_molecule(int(count), " ".join(group), seed=crc32(name.encode()))
    rows = zip(known.elements, known.positions.tolist(), known.u_iso_angstrom2.tolist(), strict=True)
    atoms = tuple(
        StructureAtom(label=f"{e}{i}", element=e, position=tuple(x), u_iso_angstrom2=u)
        for i, (e, x, u) in enumerate(rows, 1)
    )
    hall = gemmi.SpaceGroup(known.space_group).hall
    return Structure(name=name.replace(" ", "-"), cell=known.cell, hall=hall, atoms=atoms)


def made(name: str, folder: Path, *, seed: int = 0) -> Case:
    """Write the file of a case and return what is known of it; the same for the same name and seed."""
    recipe = RECIPES[name]
    rng = np.random.default_rng([crc32(name.encode()), seed])
    structure = _structure(recipe.structure)
    data: Spoilt = observed(structure, recipe.how, rng)
    for fault in recipe.faults:
        data = fault(data, rng)
    folder.mkdir(parents=True, exist_ok=True)
    hkl = folder / f"data-{seed}.hkl"
    hkl.write_text(hklf4_text(data.hkl, data.intensity, data.sigma))
    told = structure.composition.formula() if recipe.told == "own" else recipe.told
    return Case(
        name=name, hkl=hkl, cell=",".join(f"{value:.6g}" for value in data.cell.parameters),
        space_group=data.space_group, radiation=recipe.how.radiation, composition=told, honest=name in HONEST,
        cause=recipe.cause, twin=recipe.how.fraction >= 0.3, truth=structure if recipe.true else None,
    )  # fmt: skip


def names_cause(case: Case, reason: str) -> bool:
    """Tell whether a reason is about the true cause."""
    return not case.cause or re.search(CAUSES[case.cause], reason, re.IGNORECASE) is not None
