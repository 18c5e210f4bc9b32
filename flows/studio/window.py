"""The page: its panels put together."""

from typing import Any

from bokeh.document import Document
from bokeh.layouts import column, row

from flows.studio.desk import Desk
from flows.studio.pulse import Pulse
from flows.studio.real_space import RealSpace
from flows.studio.reciprocal import ReciprocalSpace
from flows.studio.tools import tools_panel


def build(doc: Document, desk: Desk, deeds: Any = None) -> Pulse:  # noqa: ARG001 - the panels of judging and saving come with it
    """Put the window of one session on its page; return what sends its updates."""
    pulse = Pulse(doc)
    real, reciprocal = RealSpace(desk, pulse), ReciprocalSpace(desk, pulse)

    def whole_views() -> None:
        if desk.views != seen[0]:
            seen[0] = desk.views
            real.whole_view()
            reciprocal.whole_view()

    seen = [desk.views]
    desk.watch("view", whole_views)
    page = column(
        row(tools_panel(desk), real.layout, reciprocal.layout, sizing_mode="stretch_width"),
        name="studio",
        sizing_mode="stretch_width",
    )
    doc.add_root(page)
    doc.add_root(pulse.beat)
    doc.add_root(pulse.echo)
    pulse.flush()
    return pulse
