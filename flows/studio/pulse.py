"""Updates of a page, the newest only: the next one is sent when the browser has shown the last."""

import time
from collections.abc import Callable, Iterable

from bokeh.document import Document
from bokeh.models import ColumnDataSource, CustomJS

PATIENCE_MS = 1000
"""After which the next update is sent although nothing was heard: a tab in the background paints nothing and stays
silent. Chosen, not measured: longer than any update takes, shorter than a person waits."""
KEPT = 512
"""Updates whose times are remembered, for measurements: some ten seconds of drawing."""
SHOWN = """
const number = beat.data.number[0]
requestAnimationFrame(() => requestAnimationFrame(() => { echo.data = {number: [number]} }))
"""
"""Tell back what number was painted: two frames later it is on the screen."""


class Pulse:
    """Sends parts of a page; while one update is on its way, what is asked for waits, however often it is asked.

    `parts` are in the order of sending. A part computes what it shows when it is sent, so that a pointer faster than
    the page costs updates, and never a queue of old ones.

    Attributes
    ----------
    costs_s
        Of the last updates: from the beginning of their computing until they were painted.
    ages_s
        The same from when they were first asked for: with the wait for the update before.
    """

    def __init__(self, doc: Document) -> None:
        self._doc = doc
        self._parts: dict[str, Callable[[], None]] = {}
        self._wanted: set[str] = set()
        self._scheduled = False
        self._sent = 0
        self._shown = 0
        self._asked_at = 0.0
        self._sent_at = 0.0
        self._oldest = 0.0
        self.costs_s: list[float] = []
        self.ages_s: list[float] = []
        self.beat = ColumnDataSource(data={"number": [0]}, name="beat")
        self.echo = ColumnDataSource(data={"number": [0]}, name="echo")
        self.beat.js_on_change("data", CustomJS(args={"beat": self.beat, "echo": self.echo}, code=SHOWN))
        self.echo.on_change("data", lambda _attr, _old, new: self._heard(int(new["number"][0])))

    def add(self, part: str, send: Callable[[], None]) -> None:
        """Have `send` called when the part is due."""
        self._parts[part] = send

    def ask(self, *parts: str) -> None:
        """Show these parts as they are by then, as soon as the page can."""
        if not self._wanted:
            self._asked_at = time.monotonic()
        self._wanted.update(parts)
        if not self._scheduled and self._sent == self._shown:
            self._scheduled = True
            self._doc.add_next_tick_callback(self.flush)

    def flush(self) -> None:
        """Send what is wanted now, in one message."""
        self._scheduled = False
        wanted, self._wanted = self._wanted, set()
        if not wanted:
            return
        self._oldest, self._sent_at = self._asked_at, time.monotonic()
        self._doc.hold("combine")
        try:
            self._send(part for part in self._parts if part in wanted)
            self._sent += 1
            self.beat.data = {"number": [self._sent]}
        finally:
            self._doc.unhold()
        if self._doc.session_context is not None:
            number = self._sent
            self._doc.add_timeout_callback(lambda: self._heard(number), PATIENCE_MS)

    def _send(self, parts: Iterable[str]) -> None:
        for part in parts:
            self._parts[part]()

    def _heard(self, number: int) -> None:
        if number <= self._shown:
            return
        self._shown = number
        now = time.monotonic()
        self.costs_s = [*self.costs_s[1 - KEPT :], now - self._sent_at]
        self.ages_s = [*self.ages_s[1 - KEPT :], now - self._oldest]
        if self._wanted and not self._scheduled:
            self._scheduled = True
            self._doc.add_next_tick_callback(self.flush)
