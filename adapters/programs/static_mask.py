"""One mask for all frames, which is what programs take, where frames differ in what was measured."""

import numpy as np
from numpy.typing import NDArray

from tasks.frames import FrameMasks

MASKED_SHARE = 0.5
"""Of the frames in which a pixel is masked, above which the programs are told to leave it out of all. Chosen, not
measured: what is masked in fewer frames is marked in those frames' own pixels, so that the others keep theirs; what is
masked in most would leave spots of which hardly a frame tells."""


def static_mask(masks: FrameMasks) -> NDArray[np.bool_]:
    """Return the pixels (slow, fast) that are valid in at least half of the frames."""
    return np.asarray(masks.share_valid() >= 1.0 - MASKED_SHARE)
