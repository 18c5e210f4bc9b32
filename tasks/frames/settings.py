"""What a user may set about frames."""

from typing import Literal

from pydantic import Field

from tasks.model import Document


class FrameSettings(Document):
    """How frames are centred and summed."""

    centring: Literal["find", "manifest"] = Field(
        default="find",
        description="find: the direct beam of every frame; manifest: trust direct_beam_px, shift nothing",
    )
    search_fraction: float = Field(
        default=0.12, gt=0, le=0.5, description="how far from direct_beam_px the beam may lie, in detector widths"
    )
    descan: Literal["find", "off"] = Field(
        default="find", description="find: correct a direct beam that moves linearly over the scan"
    )
    split_events: bool = Field(default=True, description="split the electrons of each frame into two halves by a coin")
    seed: int = Field(default=20261122, ge=0, description="seed of the coin")
