"""The picture of a traced reflection: counts by tilt, its pixels on the frames, its electrons over the scan."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tasks.frames import FrameSeries, stored_frame
from tasks.model.arrays import Floats
from tasks.trace.models import Trace, TracedObservation

MOST_SHOWN = 8
"""Observations whose pixels and probe positions are drawn, those of most electrons. Chosen, not measured: as many as
stand side by side on a page and are still seen."""
MARGIN_PX = 6
"""Shown around a spot's own pixels. Chosen, not measured: enough of the background to see that it is level."""


def draw_trace(trace: Trace, frames: FrameSeries, scan_shape: tuple[int, int] | None, path: Path) -> None:
    """Write the picture; its kind is that of the file's ending (PNG, SVG, PDF)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = sorted(trace.observations, key=lambda one: -one.counts)[:MOST_SHOWN]
    shown.sort(key=lambda one: one.tilt_deg)
    rows = 2 if scan_shape is None or any(one.positions is None for one in shown) else 3
    figure = Figure(figsize=(11, 3.2 + 1.7 * (rows - 1)), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(rows, MOST_SHOWN, height_ratios=[1.8, *[1.0] * (rows - 1)])
    _rocking(figure.add_subplot(grid[0, :]), trace)
    for k, one in enumerate(shown):
        spot = figure.add_subplot(grid[1, k])
        _spot(spot, one, stored_frame(frames.stack, one.frame))
        if k == 0:
            spot.set_ylabel("own pixels", fontsize=8)
        if rows == 3 and scan_shape is not None:
            scan = figure.add_subplot(grid[2, k])
            _scan(scan, one, scan_shape)
            if k == 0:
                scan.set_ylabel("probe positions", fontsize=8)
    h, k, l = trace.hkl
    figure.suptitle(f"{trace.crystal}: {h} {k} {l}, d = {trace.d_angstrom:.3f} Å, {trace.counts_total} electrons")
    figure.savefig(path, dpi=110)


def _rocking(axes: Any, trace: Trace) -> None:
    """Draw what was counted above the background, and what the rocking curve predicts, against the tilt."""
    tilt = np.array([one.tilt_deg for one in trace.observations])
    net = np.array([one.counts - one.background for one in trace.observations])
    error = np.sqrt([max(one.counts, 1) for one in trace.observations])
    predicted = np.array([np.nan if one.predicted is None else one.predicted for one in trace.observations])
    used = np.array([one.state == "used" for one in trace.observations])
    for chosen, fill, name in ((used, "tab:blue", "counted, used"), (~used, "none", "counted, not used")):
        if chosen.any():
            axes.errorbar(
                tilt[chosen], net[chosen], error[chosen],
                fmt="o", ms=5, color="tab:blue", mfc=fill, elinewidth=1, label=name,
            )  # fmt: skip
    axes.plot(tilt, predicted, "_", ms=16, mew=2, color="tab:orange", label="predicted by the rocking curve")
    axes.set_xlabel("tilt / deg")
    axes.set_ylabel("electrons above background")
    axes.axhline(0.0, color="0.7", lw=0.8, zorder=0)
    axes.legend(frameon=False, fontsize=8)


def _spot(axes: Any, one: TracedObservation, image: NDArray[np.unsignedinteger]) -> None:
    slow = np.array([pixel.slow for pixel in one.pixels])
    fast = np.array([pixel.fast for pixel in one.pixels])
    _bare(axes, f"{one.tilt_deg:g}°\n{one.counts} e", one)
    if not len(slow):
        return
    top, left = max(0, slow.min() - MARGIN_PX), max(0, fast.min() - MARGIN_PX)
    part = image[top : slow.max() + MARGIN_PX + 1, left : fast.max() + MARGIN_PX + 1].astype(np.float64)
    own = np.zeros(part.shape)
    own[slow - top, fast - left] = 1.0
    axes.imshow(part, cmap="viridis")
    if own.min() < own.max():
        axes.contour(own, levels=[0.5], colors="white", linewidths=1.0)


def _scan(axes: Any, one: TracedObservation, scan_shape: tuple[int, int]) -> None:
    image: Floats = np.zeros(scan_shape)
    for place in one.positions or ():
        image[place.row, place.column] = place.counts
    axes.imshow(image, cmap="viridis")
    axes.set_xticks([])
    axes.set_yticks([])


def _bare(axes: Any, title: str, one: TracedObservation) -> None:
    axes.set_title(f"{_index(one.hkl)} {title}", fontsize=7)
    axes.set_xticks([])
    axes.set_yticks([])


def _index(hkl: Sequence[int]) -> str:
    return " ".join(str(index) for index in hkl)
