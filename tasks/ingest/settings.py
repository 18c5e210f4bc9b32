"""What a user may set about ingest."""

from pydantic import Field

from tasks.model import Document


class IngestSettings(Document):
    """How many scans may be lost."""

    tilts_min: int = Field(default=5, ge=1, description="fewest usable scans with which a run goes on")
