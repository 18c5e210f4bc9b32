"""One data set as a catalogue shows it."""

from datetime import datetime
from typing import Literal

from pydantic import Field, JsonValue

from tasks.model import Document


class CatalogueFile(Document):
    """A file of a data set, where it lies; it is listed, not sent."""

    path: str = Field(description="relative to the folder of the entry")
    size: int = Field(ge=0, description="bytes")
    changed: datetime


class CatalogueThumbnail(Document):
    """A small picture."""

    caption: str
    png: bytes = Field(repr=False)


class CatalogueEntry(Document):
    """What is registered of a measured data set (raw) or of a result (derived)."""

    key: str = Field(description="the same for the same data or result: by it a second registration finds the first")
    kind: Literal["raw", "derived"]
    name: str
    description: str
    folder: str = Field(description="absolute path where the files lie")
    created: datetime
    location: str = Field(description="instrument, or facility")
    owner: str
    contact_email: str
    owner_group: str
    access_groups: tuple[str, ...] = ()
    proposal: str | None = None
    keywords: tuple[str, ...] = ()
    inputs: tuple[str, ...] = Field(default=(), description="identifiers of the data sets that a result was made of")
    software: tuple[str, ...] = ()
    metadata: dict[str, JsonValue] = {}
    files: tuple[CatalogueFile, ...] = ()
    thumbnails: tuple[CatalogueThumbnail, ...] = ()
