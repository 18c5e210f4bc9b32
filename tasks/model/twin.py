"""What is said of a twin by (pseudo-)merohedry."""

from pydantic import Field

from tasks.model.document import Document


class Twin(Document):
    """A crystal of two parts, related by an operation that the lattice has and the structure lacks."""

    law: str = Field(description="indices that the second part diffracts at where the first does at hkl: 'k,h,-l'")
    fraction: float = Field(ge=0, le=1, description="of the second part")
    fraction_esd: float | None = None
