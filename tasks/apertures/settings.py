"""What a user may set about apertures that are proposed from the data."""

from pydantic import Field

from tasks.model import Document


class ProposalSettings(Document):
    """What counts as a spot, as a region that diffracts, and as a crystal."""

    spot_threshold: float = Field(
        default=3.5, ge=2, le=50, description="Bragg spots: standard deviations above the radial background"
    )
    max_spots: int = Field(default=2000, ge=10, le=20000, description="spots per scan, strongest first")
    min_significance: float = Field(
        default=6.0, ge=1, le=100, description="of a spot's dark-field image, to take part in the grouping"
    )
    same_image: float = Field(
        default=0.85, gt=0, le=1, description="correlation above which two groups of spots are one crystal"
    )
    min_spots: int = Field(default=3, ge=1, le=100, description="spots that make a crystal at one tilt")
    min_positions: int = Field(default=9, ge=1, le=100000, description="clean positions, in the mean over the tilts")
    min_tilts: int = Field(default=3, ge=1, le=10000, description="tilts at which a crystal must be seen")
    max_crystals: int = Field(default=50, ge=1, le=500, description="largest first")
    iterations: int = Field(default=40, ge=1, le=1000, description="of the mixture model of every scan")
    seed: int = Field(default=0, ge=0, description="splits the events in two halves")
