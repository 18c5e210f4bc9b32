"""SHELX's HKLF 4 format, written: one observation a line, (3I4, 2F8, I4), ended by an all-zero line."""

import numpy as np
from numpy.typing import NDArray

LARGEST = 9999.99
"""Largest intensity written, so that a blank stays between the columns for readers that split at blanks."""

SMALLEST_SIGMA = 1e-5
"""Smallest sigma written: SHELX takes 0 as unmeasured."""

END = "   0   0   0    0.00    0.00   0"


def hklf4_text(
    hkl: NDArray[np.int32],
    intensity: NDArray[np.float64],
    sigma: NDArray[np.float64],
    *,
    batch: NDArray[np.int32] | None = None,
) -> str:
    """Return the text; intensities are scaled by a power of ten to fit their columns (see `scale_for`).

    Source: SHELX-97 manual, section 2.2. The decimal point is where most digits are kept.

    Parameters
    ----------
    batch
        (n,) scale group of each observation, from 1; 1 for all if None.

    Raises
    ------
    ValueError
        If an index needs more than four characters or a value is not finite.
    """
    if len(hkl) and (np.abs(hkl).max() > 999 or not np.all(np.isfinite(intensity) & np.isfinite(sigma))):
        raise ValueError("HKLF 4 holds indices from -999 to 999 and finite intensities only")
    scale = scale_for(intensity, sigma)
    groups = np.ones(len(hkl), dtype=np.int32) if batch is None else batch
    lines = [
        f"{h:4d}{k:4d}{l:4d}{_number(i * scale)}{_number(max(s * scale, SMALLEST_SIGMA))}{g:4d}"
        for (h, k, l), i, s, g in zip(hkl.tolist(), intensity, sigma, groups.tolist(), strict=True)
    ]
    return "\n".join([*lines, END, ""])


def scale_for(intensity: NDArray[np.float64], sigma: NDArray[np.float64]) -> float:
    """Return the power of ten that brings the largest value to at most 9999.99."""
    largest = max(float(np.abs(intensity).max(initial=0.0)), float(np.abs(sigma).max(initial=0.0)))
    return 1.0 if largest == 0 else float(10.0 ** np.floor(np.log10(LARGEST / largest)))


def _number(value: float) -> str:
    """Return eight characters, the first a blank, with as many decimals as fit."""
    whole = len(f"{int(abs(value)):d}") + (value < 0)
    decimals = min(5, max(1, 7 - whole - 1))
    text = f"{value:.{decimals}f}"
    return f"{text if len(text) <= 7 else text[:7]:>8}"
