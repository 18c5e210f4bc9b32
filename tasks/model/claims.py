"""What is claimed of a structure, in parts: lattice, space group, positions, elements, absolute structure."""

from typing import Literal

from pydantic import Field

from tasks.model.document import Document

ClaimName = Literal["lattice", "space_group", "positions", "elements", "absolute_structure"]
ClaimState = Literal["settled", "likely", "open"]
CLAIM_STATES: tuple[ClaimState, ...] = ("settled", "likely", "open")
"""The surest first. Settled: the data refute the alternatives that were compared. Likely: they speak for it, or it was
given and nothing speaks against it, but an alternative was not refuted. Open: not known, or contradicted."""


class Claim(Document):
    """One part of a structure, how sure it is, and the evidence in words."""

    state: ClaimState
    why: str = Field(min_length=1)


class Claims(Document):
    """What is claimed of one structure. They do not follow from each other: right atoms may stand in a wrong group."""

    lattice: Claim = Field(description="the cell and the Laue group")
    space_group: Claim
    positions: Claim = Field(description="where atoms are: the topology")
    elements: Claim = Field(description="which atom is what")
    absolute_structure: Claim = Field(description="the hand, or in polar and other achiral groups the direction")


def no_surer(state: ClaimState, cap: ClaimState) -> ClaimState:
    """Return a state that is no surer than `cap`."""
    return max(state, cap, key=CLAIM_STATES.index)
