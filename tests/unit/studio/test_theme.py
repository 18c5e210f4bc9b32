"""The style sheet: contrast computed by the formula of WCAG 2.1, colours told apart, plots in the same colours."""

import itertools
import re

import pytest
from bokeh.document import Document
from bokeh.models import Button, Column

from flows.studio.keys import Keyboard
from flows.studio.regions import COLOURS
from flows.studio.theme import Look, colours, plot_theme, region_colour, style_sheet

PAPERS = ("paper", "wash", "raised", "accent-wash")
TEXTS = ("ink", "soft", "accent", "good", "warn", "bad")


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_the_formula_gives_the_standards_own_extremes() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "paper"), list(itertools.product(TEXTS, PAPERS)))
def test_every_text_stands_out_on_every_paper(scheme: str, text: str, paper: str) -> None:
    of = colours(scheme)
    assert contrast(of[text], of[paper]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_button_in_the_accent_colour_can_be_read_and_the_focus_is_seen(scheme: str) -> None:
    of = colours(scheme)
    assert contrast(of["accent-ink"], of["accent"]) >= 4.5
    assert contrast(of["accent"], of["paper"]) >= 3.0


def test_no_colour_stands_outside_the_two_schemes() -> None:
    rules = style_sheet().split(":root[data-scheme", 1)[1]
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b", rules) == []


def seen_by_deuteranopes(colour: str) -> tuple[float, ...]:
    """Vienot, Brettel & Mollon, Color Res. Appl. 24, 243 (1999), in linear light."""
    parts = [(int(colour[at : at + 2], 16) / 255) ** 2.2 for at in (1, 3, 5)]
    red, green, blue = parts
    l, m, s = (
        17.8824 * red + 43.5161 * green + 4.11935 * blue,
        3.45565 * red + 27.1554 * green + 3.86714 * blue,
        0.0299566 * red + 0.184309 * green + 1.46709 * blue,
    )
    m = 0.494207 * l + 1.24827 * s
    back = (
        0.0809444479 * l - 0.130504409 * m + 0.116721066 * s,
        -0.0102485335 * l + 0.0540193266 * m - 0.113614708 * s,
        -0.000365296938 * l - 0.00412161469 * m + 0.693511405 * s,
    )
    return tuple(max(part, 0.0) ** (1 / 2.2) for part in back)


def test_two_regions_are_told_apart_by_who_sees_no_green() -> None:
    for one, other in itertools.combinations(COLOURS, 2):
        a, b = seen_by_deuteranopes(one), seen_by_deuteranopes(other)
        assert sum((x - y) ** 2 for x, y in zip(a, b, strict=True)) ** 0.5 > 0.15, (one, other)


def test_a_crystal_keeps_its_colour_and_neighbours_differ() -> None:
    assert region_colour("crystal-02") == region_colour("crystal-02-all-positions") == COLOURS[1]
    assert region_colour("crystal-08") == COLOURS[0]


def test_the_scheme_reaches_the_plots_and_every_widget() -> None:
    doc = Document()
    look = Look(doc, Keyboard(doc))
    button = Button()
    page = Column(children=[Column(children=[button]), look.switch, look.hidden])
    doc.add_root(page)
    look.dress(page)
    look.dress(page)
    assert [sheet.css for sheet in button.stylesheets] == [style_sheet()]
    assert doc.theme is plot_theme("light")
    look.change()
    assert doc.theme is plot_theme("dark")
    assert look.hidden.value == "dark"
