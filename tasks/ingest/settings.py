"""What a user may set about ingest."""

from typing import Literal

from pydantic import Field

from tasks.model import Document


class IngestSettings(Document):
    """How many scans may be lost, and how the event store is written."""

    tilts_min: int = Field(default=5, ge=1, description="fewest usable scans with which a run goes on")
    store: Literal["compressed", "plain"] = Field(
        default="compressed", description="plain: 2.5 times as many bytes, for machines with fast disks"
    )
