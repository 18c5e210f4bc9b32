"""What fills the pores of a crystal where no atoms can be named: its structure factors and its amount."""

from pydantic import Field

from tasks.crystal.scattering import Radiation
from tasks.model import Document, FileRef, Vector
from tasks.refine.pores import WATER_PER_ANGSTROM3

SMALLEST_VOID_ANGSTROM3 = 40.0
"""A water molecule held by hydrogen bonds takes up this much (PLATON's manual of SQUEEZE): a smaller pore is empty."""
PROBE_ANGSTROM = 1.2
"""Radius of the sphere by which pores are found, and their shrinking: PLATON's and Olex2's."""
EMPTY_SHARE = 0.1
"""Of the density of water, below which pores are empty: errors of 5 % of the intensities give empty ones of UiO-66 0.02
(`python -m tests.benchmarks.pores`), another seed 0.05."""
WATER_ELECTRONS = 10
"""In a molecule of water, by which an amount of scattering length is put into words."""


class Void(Document):
    """One pore of the cell that atoms leave open."""

    centre: Vector = Field(description="its centre of mass, fractional")
    volume_angstrom3: float = Field(gt=0)
    content: float = Field(description="integral of the density in it: electrons, or angstrom of scattering length")


class SolventMask(Document):
    """Scattering of the pores' contents, by van der Sluis and Spek, Acta Cryst. A46, 194-201 (1990).

    ``table`` is an .npz file with ``hkl`` (n, 3) int32 and ``f_mask`` (n,) complex128 on the scale of F(calc).
    """

    voids: tuple[Void, ...]
    probe_angstrom: float = Field(
        gt=0, description="radius of the sphere that finds the pores, and by which they shrink"
    )
    accessible_share: float = Field(ge=0, le=1, description="part of the cell that the pores take up")
    table: FileRef

    @property
    def volume_angstrom3(self) -> float:
        """Of all pores of the cell."""
        return sum(void.volume_angstrom3 for void in self.voids)

    @property
    def content(self) -> float:
        """Of all pores of the cell: electrons (X-rays), angstrom of scattering length (electrons)."""
        return sum(void.content for void in self.voids)


def is_empty(mask: SolventMask, radiation: Radiation) -> bool:
    """Tell whether pores hold so little that it is noise."""
    return mask.content < EMPTY_SHARE * WATER_PER_ANGSTROM3[radiation] * mask.volume_angstrom3


def solvent_in_words(mask: SolventMask, radiation: Radiation) -> str:
    """Return what a mask adds to F(calc), in words.

    For electrons the integral of the potential is an amount of scattering length, from which electrons follow for a
    guess of what it is: water, which is said.
    """
    pores = f"{len(mask.voids)} pore{'s' if len(mask.voids) > 1 else ''} of the cell"
    where = f"{pores}, {mask.volume_angstrom3:.0f} A^3 or {mask.accessible_share:.0%} of its volume"
    if radiation == "xray":
        amount = f"{mask.content:.0f} electrons"
    else:
        electrons = mask.content * WATER_PER_ANGSTROM3["xray"] / WATER_PER_ANGSTROM3["electron"]
        amount = (
            f"{mask.content:.0f} A of scattering length, which were it water would be "
            f"{electrons / WATER_ELECTRONS:.0f} molecules or {electrons:.0f} electrons (an estimate)"
        )
    return f"what fills {where}, is no atoms but a mask in F(calc): {amount}"
