"""SHELX's HKLF 4: one reflection a line, 3I4, 2F8.2."""

import numpy as np
from numpy.typing import NDArray

LARGEST = 99999.0


def hklf4_scale(intensity: NDArray[np.float64], sigma: NDArray[np.float64]) -> float:
    """Return the power of ten that brings intensities to the range in which two decimals lose nothing."""
    largest = float(np.abs(np.concatenate([intensity, sigma])).max(initial=1e-30))
    return float(10.0 ** np.floor(np.log10(LARGEST / largest)))


def hklf4_text(
    hkl: NDArray[np.int32], intensity: NDArray[np.float64], sigma: NDArray[np.float64], *, scale: float
) -> str:
    """Return the text of an HKLF 4 file; sigma is at least 0.01, for SHELX takes 0 as unmeasured."""
    lines = [
        f"{h:4d}{k:4d}{l:4d}{i:8.2f}{max(s, 0.01):8.2f}"
        for (h, k, l), i, s in zip(hkl.tolist(), intensity * scale, sigma * scale, strict=True)
    ]
    return "\n".join([*lines, f"{0:4d}{0:4d}{0:4d}{0.0:8.2f}{0.0:8.2f}", ""])
