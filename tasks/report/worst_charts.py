"""The worst-fitting reflections on the page: a line for each, and behind it small charts of its crossings.

The charts are written as SVG by hand: sixty for a crystal, each below a kilobyte, in the page's own colours.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import Markup

from tasks.report.wording import number
from tasks.report.worst_models import CrossingEntry, CrossingMap, WorstFitting, WorstReflection

WIDTH, HEIGHT = 150.0, 84.0
LEFT, RIGHT, TOP, BOTTOM = 4.0, 146.0, 14.0, 68.0
"""Of a chart and of what is plotted in it, SVG units. Chosen, not measured: six charts are a row of the page."""
USED = {True: "", False: ' class="unused"'}
MINUS = "\u2212"


class CrossingView(NamedTuple):
    """One crossing on the page."""

    crystal: str
    hkl: str
    chart: Markup
    map: CrossingMap | None
    map_text: str


class ReflectionView(NamedTuple):
    """One reflection on the page: the words of its line, and what is behind it."""

    hkl: str
    d: str
    observed: str
    calculated: str
    deviation: str
    crossings: tuple[CrossingView, ...]
    shown: str
    command: str


def reflection_views(worst: WorstFitting) -> tuple[ReflectionView, ...]:
    """Return the list as the page shows it."""
    return tuple(_view(one, merged=worst.merged) for one in worst.reflections)


def _view(one: WorstReflection, *, merged: bool) -> ReflectionView:
    misfit = one.misfit
    limits = _limits(one.crossings)
    shown = f"{len(one.crossings)} of {one.crossings_in_all} crossings of the Ewald sphere, those of most electrons"
    if len(one.crossings) == one.crossings_in_all:
        shown = (
            "All its crossings of the Ewald sphere" if len(one.crossings) > 1 else "Its crossing of the Ewald sphere"
        )
    return ReflectionView(
        hkl=_index(misfit.hkl),
        d=f"{misfit.d_angstrom:.3f}",
        observed=f"{_signed(misfit.f_squared_observed)} ± {number(misfit.sigma, 2)}",
        calculated=number(misfit.f_squared_calculated),
        deviation=f"{misfit.deviation:+.1f}".replace("-", MINUS),
        crossings=tuple(_crossing(each, limits) for each in one.crossings),
        shown=shown,
        command=_command(one, merged=merged),
    )


def _command(one: WorstReflection, *, merged: bool) -> str:
    """Return the options of `apertura trace` that show all of it; empty if it is traced nowhere."""
    seen = {each.crystal for each in one.crossings}
    named = [(name, hkl) for name, hkl in one.traced_as if name in seen] or list(one.traced_as)
    if not named:
        return ""
    return f"--crystal {named[0][0]} --hkl {','.join(map(str, named[0][1]))}{' --merged' if merged else ''}"


def _crossing(one: CrossingEntry, limits: tuple[float, float]) -> CrossingView:
    found = one.map
    text = ""
    if found is not None:
        text = (
            f"{found.tilt_deg:g}°: {found.electrons} e⁻ from {found.positions_with_electrons} of {found.positions} "
            f"positions, {found.most} at most"
        ).replace("-", MINUS)
    return CrossingView(one.crystal, _index(one.hkl), _chart(one, limits), found, text)


def _limits(crossings: Sequence[CrossingEntry]) -> tuple[float, float]:
    """Return the range of electrons that holds all points with their errors, and zero."""
    values = [0.0]
    for one in crossings:
        values += [net + sign * error for net, error in _net(one) for sign in (-1.0, 1.0)]
        values += [value for value in one.predicted if value is not None]
    low, high = min(values), max(values)
    return low, high if high > low else low + 1.0


def _net(one: CrossingEntry) -> list[tuple[float, float]]:
    """Return the electrons above background, by tilt, each with the error of counting."""
    pairs = zip(one.counts, one.background, strict=True)
    return [(counts - below, max(counts, 1) ** 0.5) for counts, below in pairs]


def _chart(one: CrossingEntry, limits: tuple[float, float]) -> Markup:
    """Return electrons above background by tilt: bars of error, points (hollow where not used), the predicted curve."""
    low, high = limits

    def y(value: float) -> str:
        return f"{BOTTOM - (value - low) / (high - low) * (BOTTOM - TOP):.1f}"

    count = len(one.tilt_deg)
    places = [LEFT + (RIGHT - LEFT) * (k + 0.5) / count for k in range(count)]
    net = _net(one)
    bars = "".join(f"M{x:.1f} {y(value - error)}V{y(value + error)}" for x, (value, error) in zip(places, net))
    known = [(x, value) for x, value in zip(places, one.predicted, strict=True) if value is not None]
    curve = "M" + "L".join(f"{x:.1f} {y(value)}" for x, value in known) if known else ""
    ticks = "".join(f"M{x - 5:.1f} {y(value)}h10" for x, value in known)
    points = "".join(
        f'<circle cx="{x:.1f}" cy="{y(value)}" r="2.6"{USED[used]}/>'
        for x, (value, _), used in zip(places, net, one.used, strict=True)
    )
    words = _words(one)
    text = (
        f'<svg role="img" aria-label="{Markup.escape(words)}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" class="rocking">'
        f'<path class="zero" d="M{LEFT:g} {y(0.0)}H{RIGHT:g}"/><path class="predicted" d="{curve}{ticks}"/>'
        f'<path class="error" d="{bars}"/>{points}'
        f'<text x="{LEFT:g}" y="9">{high:.0f} e⁻</text>'
        f'<text x="{LEFT:g}" y="{HEIGHT - 3:g}">{_angle(one.tilt_deg[0])}</text>'
    )
    if count > 1:
        text += f'<text x="{RIGHT:g}" y="{HEIGHT - 3:g}" text-anchor="end">{_angle(one.tilt_deg[-1])}</text>'
    return Markup(text + "</svg>")  # noqa: S704 # nosec B704 numbers, and words escaped above


def _words(one: CrossingEntry) -> str:
    """Return the chart for who does not see it."""
    said = []
    for tilt, (net, error), predicted, used in zip(one.tilt_deg, _net(one), one.predicted, one.used, strict=True):
        expected = "" if predicted is None else f", predicted {predicted:.0f}"
        said.append(f"{_angle(tilt)}: {net:.0f} ± {error:.0f}{expected}{'' if used else ', not used'}")
    return f"{_index(one.hkl)}, electrons above background by tilt: {'; '.join(said)}"


def _index(hkl: Sequence[int]) -> str:
    return " ".join(str(index).replace("-", MINUS) for index in hkl)


def _angle(tilt_deg: float) -> str:
    return f"{tilt_deg:.4g}°".replace("-", MINUS)


def _signed(value: float) -> str:
    return number(value) if value >= 0 else f"{MINUS}{number(-value)}"
