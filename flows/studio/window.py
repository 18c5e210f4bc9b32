"""The page: its panels put together."""

from functools import partial
from html import escape

from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import Column, Div, Row, UIElement

from flows.studio.behind import Behind
from flows.studio.bindings import bind_desk
from flows.studio.deeds import Deeds
from flows.studio.desk import Desk
from flows.studio.errands import Errands
from flows.studio.judge_panel import judge_panel
from flows.studio.keys import Keyboard, help_panel
from flows.studio.messages import messages_panel
from flows.studio.proposals import proposals_panel
from flows.studio.pulse import Pulse
from flows.studio.real_space import RealSpace
from flows.studio.reciprocal import ReciprocalSpace
from flows.studio.save_panel import Visiting, save_panel
from flows.studio.theme import Look
from flows.studio.tilts import tilts_panel
from flows.studio.tools import tools_panel


def build(doc: Document, desk: Desk, deeds: Deeds | None = None, *, visitor: Visiting | None = None) -> Pulse:
    """Put the window of one session on its page; return what sends its updates."""
    pulse, behind = Pulse(doc), Behind(doc)
    desk.run_behind = partial(behind.want, "errand of the desk")
    real, reciprocal = RealSpace(desk, pulse, behind), ReciprocalSpace(desk, pulse, behind)

    def whole_views() -> None:
        if desk.views != seen[0]:
            seen[0] = desk.views
            real.whole_view()
            reciprocal.whole_view()

    seen = [desk.views]
    desk.watch("view", whole_views)
    page = _page(
        doc,
        desk,
        row(real.layout, reciprocal.layout, sizing_mode="stretch_width", spacing=8, css_classes=["wraps"]),
        deeds,
        visitor or Visiting(),
    )
    doc.add_root(page)
    doc.add_root(pulse.beat)
    doc.add_root(pulse.echo)
    pulse.flush()
    return pulse


def _page(doc: Document, desk: Desk, spaces: Row, deeds: Deeds | None, visitor: Visiting) -> Column:
    """Return the page: messages above, tools and spaces and crystals side by side, tilts below."""
    keyboard = Keyboard(doc, say=desk.say)
    look = Look(doc, keyboard)
    errands = Errands(doc, desk)
    bind_desk(keyboard, desk, errands)
    beside = [proposals_panel(desk, keyboard, look.dress)]
    above: list[UIElement] = []
    if deeds is not None:
        saving, offer = save_panel(doc, desk, deeds, keyboard, errands, visitor=visitor)
        beside += [judge_panel(desk, deeds, keyboard, errands), saving]
        above.append(offer)
    keys, shown_keys = help_panel(keyboard)
    title = Div(text=f"<h1>{escape(visitor.title)}</h1>", name="title")
    page = column(
        row(title, messages_panel(desk), keys, look.switch, sizing_mode="stretch_width", css_classes=["head"]),
        *above,
        shown_keys,
        row(
            tools_panel(desk),
            column(spaces, tilts_panel(doc, desk, keyboard), sizing_mode="stretch_width"),
            column(*beside, width=300, css_classes=["beside"]),
            sizing_mode="stretch_width",
            css_classes=["wraps"],
        ),
        keyboard.hidden,
        look.hidden,
        name="studio",
        sizing_mode="stretch_width",
    )
    look.dress(page)
    page.stylesheets = [*page.stylesheets, look.page_sheet()]
    return page
