"""Line charts as inline SVG that follow the page's colours, light or dark."""

import hashlib
import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

INK = "#010203"  # replaced by currentColor
SERIES_COLOURS = ("#3b82c4", "#d9734e", "#3f9a63", "#a66bbf")
STYLE: dict[Any, Any] = {"svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9.0, "axes.linewidth": 0.8}
"""Text stays text, to be searched and to follow the page's fonts. Sizes: chosen for charts 3.1 inches wide."""


class Line(NamedTuple):
    """One line of a chart; values that are None leave a gap."""

    label: str
    values: Sequence[float | None]


class ChartFrame(NamedTuple):
    """What stands around the lines."""

    title: str
    x_label: str
    y_limits: tuple[float | None, float | None] = (None, None)
    size_inch: tuple[float, float] = (3.1, 2.1)


def against_resolution(edges_angstrom: Sequence[float], lines: Sequence[Line], around: ChartFrame) -> Markup:
    """Draw statistics per shell at the shells' outer limits, linear in 1/d^2 but labelled in angstrom."""
    places = np.array([1 / edge**2 for edge in edges_angstrom])
    with mpl.rc_context({**STYLE, "svg.hashsalt": around.title}):
        figure, axes = _axes(around)
        _plot(axes, places, lines, marker="o")
        axes.set_ylim(*around.y_limits)
        rarely = np.unique(np.linspace(0, len(places) - 1, min(5, len(places))).astype(int))
        axes.set_xticks(places[rarely], [f"{edges_angstrom[index]:.2f}" for index in rarely])
        return svg_text(figure, around.title)


def against_angle(angles_deg: Sequence[float], lines: Sequence[Line], around: ChartFrame) -> Markup:
    """Draw values per frame over the tilt."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": around.title}):
        figure, axes = _axes(around)
        _plot(axes, np.asarray(angles_deg), lines, marker="")
        axes.set_ylim(*around.y_limits)
        return svg_text(figure, around.title)


def against_count(counts: Sequence[int], lines: Sequence[Line], around: ChartFrame) -> Markup:
    """Draw values over a number of things."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": around.title}):
        figure, axes = _axes(around)
        _plot(axes, np.asarray(counts), lines, marker="o")
        axes.set_xticks(list(counts))
        axes.set_ylim(*around.y_limits)
        return svg_text(figure, around.title)


def _axes(around: ChartFrame) -> tuple[Figure, mpl.axes.Axes]:
    figure = Figure(figsize=around.size_inch, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(around.title, fontsize=9.5, color=INK, loc="left", fontweight="bold")
    axes.set_xlabel(around.x_label, color=INK)
    axes.tick_params(colors=INK, length=3)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(INK)
    axes.grid(visible=True, axis="y", color=INK, alpha=0.12, linewidth=0.8)
    return figure, axes


def _plot(axes: mpl.axes.Axes, places: np.ndarray, lines: Sequence[Line], *, marker: str) -> None:
    for line, colour in zip(lines, SERIES_COLOURS, strict=False):
        values = np.array([np.nan if value is None else value for value in line.values], dtype=np.float64)
        axes.plot(places, values, color=colour, marker=marker, markersize=3.5, linewidth=1.6, label=line.label)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=8, labelcolor=INK, borderaxespad=0.1)


def svg_text(figure: Figure, title: str) -> Markup:
    """Return a figure as SVG in the page's colours, its ids its own."""
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", transparent=True, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :].replace(INK, "currentColor")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    salt = hashlib.sha256(title.encode()).hexdigest()[:8]  # ids are the page's, and many charts share it
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\1c{salt}", text)
    label = Markup.escape(title)
    return Markup(text.replace("<svg", f'<svg role="img" aria-label="{label}" class="chart"', 1))  # noqa: S704 # nosec B704 matplotlib's own, text escaped by it
