"""What is said of a twin."""

from pydantic import Field

from tasks.model.document import Document


class Twin(Document):
    """A crystal of two parts, related by an operation that the structure lacks: the lattice has it, or it has not.

    Where it has not (a non-merohedral twin) indices of the parts have no whole law: each observation names its own.
    """

    law: str = Field(
        description="indices that the second part diffracts at where the first does at hkl: 'k,h,-l'; 'HKLF 5' where "
        "each observation lists those of its own"
    )
    fraction: float = Field(ge=0, le=1, description="of the second part")
    fraction_esd: float | None = None
