"""Maps of a crystal over its probe positions: misorientation, scale, strain and rocking curve, with colour bars."""

from typing import Any

import h5py
import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from tasks.integrate import JoinedParts
from tasks.maps import CrystalMaps
from tasks.model.arrays import Floats
from tasks.report.charts import INK, STYLE, svg_text

MARGIN = 1
"""Positions shown around the crystal. Chosen, not measured: its edge is seen to be one."""
PANELS = (
    ("angle_deg", "misorientation (\u00b0)", 1.0, "viridis"),
    ("angle_sigma_deg", "its sigma (\u00b0)", 1.0, "viridis"),
    ("scale", "scale (mean 1)", 1.0, "viridis"),
    ("strain", "strain (%)", 100.0, "coolwarm"),
    ("curve", "curve's width (mean 1)", 1.0, "viridis"),
)
"""Dataset, what the colour bar says, factor on the values, colours: those of strain have their middle at zero."""


def map_charts(maps: CrystalMaps) -> Markup | None:
    """Return the maps side by side, cut to the crystal; None where no position has values."""
    with h5py.File(maps.file.path, "r") as file:
        images = [np.asarray(file[name], dtype=np.float64) * factor for name, _, factor, _ in PANELS]
    known = np.isfinite(images[0])
    if not known.any():
        return None
    (top, left), (bottom, right) = np.argwhere(known).min(axis=0), np.argwhere(known).max(axis=0)
    first = max(0, top - MARGIN), max(0, left - MARGIN)
    part = slice(first[0], bottom + MARGIN + 1), slice(first[1], right + MARGIN + 1)
    title = f"{maps.id}: maps by probe position"
    with mpl.rc_context({**STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(3.1 * len(PANELS), 2.7), layout="constrained")
        for axes, image, (_, label, _, colours) in zip(figure.subplots(1, len(PANELS)), images, PANELS, strict=True):
            _panel(figure, axes, image[part], label=label, colours=colours, corner=first)
        return svg_text(figure, title)


def _panel(figure: Figure, axes: Any, image: Floats, *, label: str, colours: str, corner: tuple[int, int]) -> None:
    values = image[np.isfinite(image)]
    low, high = np.percentile(values, [1, 99]) if len(values) else (0.0, 1.0)
    if colours == "coolwarm":
        high = max(abs(low), abs(high))
        low = -high
    rows, columns = image.shape
    extent = (corner[1] - 0.5, corner[1] + columns - 0.5, corner[0] + rows - 0.5, corner[0] - 0.5)
    shown = axes.imshow(image, cmap=colours, vmin=low, vmax=high, extent=extent, interpolation="nearest")
    bar = figure.colorbar(shown, ax=axes, shrink=0.9)
    bar.set_label(label, color=INK)
    bar.ax.tick_params(colors=INK)
    bar.outline.set_edgecolor(INK)
    axes.tick_params(colors=INK, length=3)
    axes.locator_params(integer=True, nbins=4)
    axes.set_xlabel("column", color=INK)
    axes.set_ylabel("row", color=INK)
    for spine in axes.spines.values():
        spine.set_color(INK)


def _with_sigma(value: float, sigma: float) -> str:
    """Return a value to the first digit of its sigma, or a hundredth."""
    digits = int(np.clip(-np.floor(np.log10(max(sigma, 1e-6))), 2, 6))
    return f"{value:.{digits}f} \u00b1 {sigma:.{digits}f}"


def map_sentences(maps: CrystalMaps) -> tuple[str, ...]:
    """Return what the maps say in words, every number with its sigma."""
    at = f"{maps.tilt_deg:g}\u00b0"
    if not maps.positions:
        return (f"No probe position has enough electrons in the crystal's reflections for a map ({at}).",)
    said = [
        f"{maps.positions} positions on the scan at {at}, measured by the crystal's own reflections at all tilts"
        + (f"; {maps.pooled} of them together with their 3 \u00d7 3 neighbours" if maps.pooled else "")
        + (f"; {maps.left_out} more have too few electrons" if maps.left_out else "")
        + "."
    ]
    if maps.bend_deg is not None and maps.bend_sigma_deg is not None:
        said.append(
            f"From end to end the lattice turns by {_with_sigma(maps.bend_deg, maps.bend_sigma_deg)}\u00b0, were it "
            f"to turn evenly; the misorientation of a position is known to {maps.angle_sigma_deg:.2g}\u00b0 (median)."
        )
    if maps.scale_sigma is not None and maps.strain_sigma is not None:
        said.append(
            f"Median sigma of scale {maps.scale_sigma:.2g}, of strain {100 * maps.strain_sigma:.2g} %"
            + ("." if maps.curve_sigma is None else f", of the width of the rocking curve {maps.curve_sigma:.2g}.")
        )
    said.append(
        f"The rocking curve of a position is {_with_sigma(maps.curve_ratio, maps.curve_ratio_sigma)} times as wide "
        "as that of the whole crystal. Misorientation is against the crystal's mean orientation: noise alone gives an "
        "angle of the size of its sigma, too."
    )
    return tuple(said)


def parts_sentence(joined: JoinedParts) -> str:
    """Return which intensities of a crystal that bends are used, and by what evidence."""
    head = (
        f"As it bends, the crystal was measured again in {joined.parts} parts, each of nearly one orientation and in "
        "its own, and their observations joined. "
    )
    if joined.half_sets_one is None or joined.half_sets_parts is None:
        return head + "Too few reflections were met twice to compare: the intensities are those in one orientation."
    agree = (
        f"Between halves of the crossings |F| agrees to {joined.half_sets_parts:.4f} by parts and to "
        f"{joined.half_sets_one:.4f} in one orientation ({joined.half_sets_reflections} reflections): "
    )
    if not joined.better:
        return f"{head}{agree}the intensities are those in one orientation."
    return (
        f"{head}{agree}the intensities are those of the parts. Pictures and traces of reflections are of the whole "
        "crystal in one orientation."
    )
