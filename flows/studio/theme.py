"""How the studio looks: one style sheet for page, widgets and plots, in a light and a dark scheme."""

import re
from functools import cache
from importlib.resources import files
from typing import Literal

from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.models import CustomJS, GlobalInlineStyleSheet, InlineStyleSheet, TextInput, UIElement
from bokeh.themes import Theme

from flows.studio.keys import Keyboard
from flows.studio.regions import COLOURS, colour_number

Scheme = Literal["light", "dark"]

ONE_COLOUR = r"--(?P<name>[\w-]+): light-dark\((?P<light>#[0-9a-f]{6}), (?P<dark>#[0-9a-f]{6})\)"

AT_START = """
document.documentElement.lang = 'en'
scheme.value = localStorage.getItem('apertura-scheme')
  ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light')
"""
ON_CHANGE = """
const preferred = matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'
document.documentElement.dataset.scheme = cb_obj.value
if (cb_obj.value == preferred) localStorage.removeItem('apertura-scheme')
else localStorage.setItem('apertura-scheme', cb_obj.value)
"""


@cache
def style_sheet() -> str:
    """Return the text of `theme.css`."""
    return (files("flows.studio") / "theme.css").read_text(encoding="utf-8")


def colours(scheme: Scheme) -> dict[str, str]:
    """Return the colours of one scheme, ``#rrggbb`` by their names in the style sheet."""
    return {match["name"]: match[scheme] for match in re.finditer(ONE_COLOUR, style_sheet())}


def region_colour(crystal: str) -> str:
    """Return the colour of the crystal ``crystal-NN``: the same for as long as it has this id."""
    return COLOURS[colour_number(crystal)]


@cache
def plot_theme(scheme: Scheme) -> Theme:
    """Return the colours of axes, grids and titles: canvas, which the style sheet does not reach."""
    of = colours(scheme)
    text = {f"{part}_text_color": of["ink"] for part in ("axis_label", "major_label")}
    lines = {f"{part}_line_color": of["line"] for part in ("axis", "major_tick", "minor_tick")}
    return Theme(
        json={
            "attrs": {
                "Plot": {
                    "background_fill_color": of["paper"],
                    "border_fill_color": of["paper"],
                    "outline_line_color": of["line"],
                },
                "Axis": {**text, **lines, "axis_label_text_font_style": "normal"},
                "Grid": {"grid_line_color": of["line"], "grid_line_alpha": 0.5},
                "Title": {"text_color": of["ink"]},
                "Legend": {
                    "label_text_color": of["ink"],
                    "background_fill_color": of["paper"],
                    "background_fill_alpha": 0.85,
                    "border_line_color": of["line"],
                },
                "BaseColorBar": {
                    "background_fill_color": of["paper"],
                    "major_label_text_color": of["ink"],
                    "title_text_color": of["ink"],
                },
            }
        }
    )


class Look:
    """The scheme of one page; `switch` is its button, `hidden` has to stand in the layout."""

    def __init__(self, doc: Document, keyboard: Keyboard) -> None:
        self._doc = doc
        self._sheet = InlineStyleSheet(css=style_sheet())
        self.hidden = TextInput(name="scheme", visible=False)
        self.hidden.on_change("value", lambda _attr, _old, new: self._paint(new))
        self.hidden.js_on_change("value", CustomJS(code=ON_CHANGE))
        self.switch = keyboard.button("switch scheme", self.change)
        doc.js_on_event(DocumentReady, CustomJS(args={"scheme": self.hidden}, code=AT_START))
        self._paint("light")

    def change(self) -> None:
        """Take the other scheme."""
        self.hidden.value = "light" if self.hidden.value == "dark" else "dark"

    def dress(self, *roots: UIElement) -> None:
        """Give the style sheet to all widgets under `roots`; those made later are dressed when they are made."""
        for root in roots:
            for model in root.references():
                if isinstance(model, UIElement) and self._sheet not in model.stylesheets:
                    model.stylesheets = [*model.stylesheets, self._sheet]

    def page_sheet(self) -> GlobalInlineStyleSheet:
        """Return the style sheet for the page itself: add it to the stylesheets of one root."""
        return GlobalInlineStyleSheet(css=style_sheet())

    def _paint(self, scheme: str) -> None:
        self._doc.theme = plot_theme("dark" if scheme == "dark" else "light")
