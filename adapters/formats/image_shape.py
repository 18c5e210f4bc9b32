"""What every reader of images checks."""

from pathlib import Path

from tasks.model import SourceError

LARGEST_BYTES = 64 * 2**30
"""Of one file: 1024 images of 4096 x 4096 px in 32 bits. Chosen, not measured: a file that claims more is damaged or no
frame file, and is refused before it fills the memory."""


def check_shape(path: Path, got: tuple[int, ...], expected: tuple[int, int]) -> None:
    """Raise a SourceError if an image is not of the shape (slow, fast) that the manifest states."""
    if tuple(got) != tuple(expected):
        raise SourceError(
            f"{path.name}: an image of {tuple(got)} pixels, the manifest's detector.shape_px says {tuple(expected)}",
            "correct detector.shape_px (slow, fast), or remove the file",
        )


def check_size(path: Path, count: int) -> None:
    """Raise a SourceError if images of so many bytes, in memory, are more than any file of frames."""
    if count > LARGEST_BYTES:
        raise SourceError(f"{path.name}: its header claims {count} bytes of pixels", "the file is damaged")
