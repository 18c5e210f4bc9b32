"""What is claimed of a structure, as a chemist would say it."""

from collections.abc import Sequence

from tasks.model.claims import Claim, Claims, ClaimState

WORDS: dict[ClaimState, str] = {"settled": "certain", "likely": "likely", "open": "not known"}
PARTS = (
    ("positions", "positions of the atoms"),
    ("elements", "elements"),
    ("space_group", "space group"),
    ("lattice", "lattice"),
)
"""In the order in which a reader asks."""
CENTRE = "has a centre"
"""Of a structure with one there is no hand to speak of."""


def claims_sentence(claims: Claims) -> str:
    """Return the claims in one sentence: ``the positions of the atoms are certain; the elements are likely``."""
    said = [f"{_listed(names)} {_are(names)} {WORDS[state]}" for state, names in _by_state(claims)]
    if CENTRE not in claims.absolute_structure.why:
        said.append(f"the absolute structure is {WORDS[claims.absolute_structure.state]}")
    return "; ".join(said)


def claim_rows(claims: Claims) -> list[tuple[str, str, str]]:
    """Return the rows of the table: what, how sure, why."""
    named: list[tuple[str, Claim]] = [(words, getattr(claims, name)) for name, words in PARTS]
    named.append(("absolute structure", claims.absolute_structure))
    return [(words, claim.state, claim.why) for words, claim in named]


def _by_state(claims: Claims) -> list[tuple[ClaimState, list[str]]]:
    states: list[ClaimState] = ["settled", "likely", "open"]
    found = [(state, [words for name, words in PARTS if getattr(claims, name).state == state]) for state in states]
    return [(state, names) for state, names in found if names]


def _listed(names: Sequence[str]) -> str:
    *first, last = [f"the {name}" for name in names]
    return f"{', '.join(first)} and {last}" if first else last


def _are(names: Sequence[str]) -> str:
    return "are" if len(names) > 1 or names[0] in {PARTS[0][1], PARTS[1][1]} else "is"
