"""Where a result comes from: no time stamps and no host names, so that equal work gives equal documents."""

from tasks.model.document import Document


class Attempt(Document):
    """One try of an engine: which parameter was changed, why, and what came of it."""

    change: str
    reason: str
    outcome: str


class Provenance(Document):
    """Engine, version, parameters, inputs and seed of one result."""

    engine: str
    version: str
    parameters: dict[str, str | int | float | bool | None] = {}
    inputs: dict[str, str] = {}
    """Name of each input and the SHA-256 of its bytes."""
    seed: int | None = None
    attempts: tuple[Attempt, ...] = ()
