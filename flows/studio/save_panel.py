"""Save, solve, accept; and what was not saved: kept, offered again, and asked about before the page is left."""

import json
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import NamedTuple, Protocol

from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.layouts import column, row
from bokeh.models import Column, CustomJS, Div, Row, TextInput

from flows.studio.deeds import Deeds
from flows.studio.desk import Desk
from flows.studio.errands import Errands, Tell
from flows.studio.keys import Keyboard
from flows.studio.messages import told
from flows.studio.saving import WHO_CHARACTERS, Saved, SavedByAnotherError
from flows.studio.solving import outcome_in_words
from tasks.drawing import Drawing
from tasks.model.errors import ApertureError

LISTED = 8
"""Changes that are listed, the latest. Chosen, not measured: the rest stands in the file."""

LEAVING = """
// The browser asks before the page is left with unsaved work; it does not let a page choose the words.
window.addEventListener('beforeunload', event => { if (unsaved.value != '') event.preventDefault() })
"""


def _no_address(_path: Path) -> str | None:
    return None


class Accept(Protocol):
    """Lets the run that waits for approval go on with a drawing, and says so."""

    def __call__(self, drawing: Drawing, changes: Sequence[str], *, who: str) -> str:
        """Save, and let the run go on; raises ApertureError if it cannot."""
        ...


class Visiting(NamedTuple):
    """Who looks, what he may, and how he gets further."""

    who: str = ""
    title: str = "apertura"
    may_write: bool = True
    vouched: bool = False
    """Whether the name is that of a login: then it is not to be changed."""
    link_to: Callable[[Path], str | None] = _no_address
    """The address of a file of a run in this browser; None if it has none."""
    accept: Accept | None = None
    """None: no run waits."""


def changes_html(changes: tuple[str, ...]) -> str:
    """Return what was changed since the last save, the latest first."""
    if not changes:
        return '<p class="soft">Nothing is changed since the last save.</p>'
    listed = "".join(f"<li>{escape(one)}</li>" for one in reversed(changes[-LISTED:]))
    more = f'<p class="soft">and {len(changes) - LISTED} before</p>' if len(changes) > LISTED else ""
    count = "1 change" if len(changes) == 1 else f"{len(changes)} changes"
    return f"<details><summary>{count} not saved</summary><ul>{listed}</ul>{more}</details>"


def clock(when: str) -> str:
    """Return a time of ISO 8601 as a person reads it, in the time zone of the machine."""
    return f"{datetime.fromisoformat(when).astimezone():%d %B %H:%M}"


class SavePanel:
    """What is done with the drawing as a whole."""

    def __init__(
        self,
        doc: Document,
        desk: Desk,
        deeds: Deeds,
        keyboard: Keyboard,
        errands: Errands,
        *,
        visitor: Visiting,
    ) -> None:
        self._desk, self._deeds, self._errands, self._visitor = desk, deeds, errands, visitor
        self._saved: Drawing = desk.drawing
        self._kept: Drawing = desk.drawing
        self._done_before: tuple[str, ...] = ()
        self._at_save = len(desk.history.changes)
        self._first: tuple[str, ...] = ()
        self.unsaved = TextInput(name="unsaved", visible=False)
        doc.js_on_event(DocumentReady, CustomJS(args={"unsaved": self.unsaved}, code=LEAVING))
        self.who = TextInput(
            title="Your name",
            value=visitor.who,
            name="who",
            max_length=WHO_CHARACTERS,
            disabled=visitor.vouched,
            sizing_mode="stretch_width",
        )
        self.file = Div(name="aperture file", sizing_mode="stretch_width")
        self.changes = Div(name="changes", sizing_mode="stretch_width")
        self.save = keyboard.button("save", self.save_now, button_type="primary")
        self.copy = keyboard.button("save copy", self.save_copy)
        self.copy.visible = False
        self.solve = keyboard.button("solve", self.solve_now)
        self.result = Div(name="result", sizing_mode="stretch_width")
        self.accept = keyboard.button("accept run", self.accept_now, button_type="primary")
        self.offer = Div(name="offer", sizing_mode="stretch_width")
        self.take_up = keyboard.button("take up", self.take_up_now, button_type="primary")
        self.discard = keyboard.button("discard", self.discard_now)
        self.recovery = row(
            self.offer, self.take_up, self.discard, name="recovery", css_classes=["box", "wraps"],
            sizing_mode="stretch_width", visible=False,
        )  # fmt: skip
        desk.watch("drawing", self.show)
        errands.watch(self.show)
        self._look_for_unsaved()
        self.show()

    def layout(self) -> Column:
        """Return the panel."""
        saving, solving = (
            row(*buttons, css_classes=["buttons"], sizing_mode="stretch_width")
            for buttons in ((self.save, self.copy), (self.solve, self.accept))
        )
        return column(
            Div(text="<h2>Save</h2>"),
            self.file,
            self.who,
            saving,
            self.changes,
            Div(text="<h2>Solve</h2>"),
            solving,
            self.result,
            self.unsaved,
            name="save panel",
            sizing_mode="stretch_width",
        )

    # ---- what is shown

    def show(self) -> None:
        """Show what is not saved and what can be done; keep what is not saved."""
        drawing, changes = self._desk.drawing, self._changes()
        dirty = drawing != self._saved
        if drawing is not self._kept and dirty:
            self._deeds.keep_unsaved(drawing, changes)
            self._kept = drawing
            if (failure := self._deeds.keeping_failed) is not None:
                self._desk.say(f"Unsaved work cannot be kept: {told(failure)}", "warning")
        self.unsaved.value = "yes" if dirty else ""
        self.changes.text = changes_html(changes if dirty else ())
        path = self._deeds.place.aperture_file
        where = f'<span class="soft">in {escape(str(path.parent))}</span>'
        self.file.text = f"<p>{escape(path.name)} {where}</p>"
        busy = self._errands.running is not None
        may_write = self._visitor.may_write
        for button in (self.save, self.copy):
            button.disabled = not may_write or not drawing.crystals
        self.solve.disabled = not may_write or busy or not drawing.crystals
        self.accept.visible = self._visitor.accept is not None
        self.accept.disabled = not may_write or busy or self._visitor.accept is None

    def _changes(self) -> tuple[str, ...]:
        return (*self._done_before, *self._desk.history.changes[self._at_save :])

    def _mark_saved(self, saved: Saved, drawing: Drawing) -> None:
        self._saved = self._kept = drawing
        self._at_save, self._done_before = len(self._desk.history.changes), ()
        self.copy.visible = False
        self._desk.say(f"Saved as {saved.path.name}, by {saved.who}, {clock(saved.when)}.", "done")
        self.show()

    # ---- what is done

    def save_now(self) -> None:
        """Write the aperture file; if another wrote it since, offer a copy."""
        self._save(self._deeds.save)

    def save_copy(self) -> None:
        """Write the drawing under another name, beside the file."""
        self._save(self._deeds.save_copy)

    def _save(self, save: Callable[..., Saved]) -> None:
        drawing = self._desk.drawing
        try:
            self._mark_saved(save(drawing, self._changes(), who=self._name()), drawing)
        except ApertureError as error:
            self._refused(error)

    def _refused(self, error: ApertureError) -> None:
        self.copy.visible = self.copy.visible or isinstance(error, SavedByAnotherError)
        self._desk.say(told(error), "error")

    def solve_now(self) -> None:
        """Save, run the pipeline with what is drawn, and follow it."""
        drawing, changes, who, deeds = self._desk.drawing, self._changes(), self._name(), self._deeds

        def work(tell: Tell, stop: threading.Event) -> Path:
            return deeds.solve(drawing, tell, who=who, changes=changes, stop=stop)

        self._errands.start("Solving", work, lambda run: self._solved(run, drawing), failed=self._refused)

    def accept_now(self) -> None:
        """Let the run that waits go on with what is drawn."""
        drawing, changes, who, accept = self._desk.drawing, self._changes(), self._name(), self._visitor.accept

        def work(_tell: Tell, _stop: threading.Event) -> str:
            return accept(drawing, changes, who=who) if accept is not None else ""

        self._errands.start("Accepting", work, lambda said: self._accepted(said, drawing), failed=self._refused)

    def _accepted(self, said: str, drawing: Drawing) -> None:
        if (saved := self._deeds.last_saved) is not None:
            self._mark_saved(saved, drawing)
        self.accept.label = "Accepted"
        self._desk.say(said, "done")

    def _solved(self, run: Path, drawing: Drawing) -> None:
        if (saved := self._deeds.last_saved) is not None:
            self._mark_saved(saved, drawing)
        address = self._visitor.link_to(run / "report.html")
        link = f'<a href="{escape(address)}" target="_blank" rel="noopener">Open the report</a> ' if address else ""
        self.result.text = f'<p>{link}<span class="soft">{escape(str(run))}</span></p>'
        results = json.loads((run / "results.json").read_text(encoding="utf-8"))
        self._desk.say(f"Solved: {outcome_in_words(results)}", "done")

    def _name(self) -> str:
        return self.who.value.strip() or "unknown"

    # ---- what was not saved at the last time

    def _look_for_unsaved(self) -> None:
        found = self._deeds.unsaved_work()
        if found is not None:
            count = "1 change" if len(found.changes) == 1 else f"{len(found.changes)} changes"
            self.offer.text = f"<p><b>Your unsaved drawing of {clock(found.when)}</b>, {count}: take it up?</p>"
        self.recovery.visible = found is not None
        self.take_up.disabled = self.discard.disabled = found is None
        self._found = found

    def take_up_now(self) -> None:
        """Go on with the drawing that was not saved."""
        if self._found is None:
            return
        self._done_before = self._found.changes
        self._desk.do(f"taken up from {clock(self._found.when)}", self._found.drawing)
        self._deeds.discard_unsaved()
        self._close_offer()
        self._desk.say("The unsaved drawing is here again: save it when you like.", "done")

    def discard_now(self) -> None:
        """Forget the drawing that was not saved."""
        self._deeds.discard_unsaved()
        self._close_offer()
        self._desk.say("The unsaved drawing is discarded.")

    def _close_offer(self) -> None:
        self._found = None
        self.recovery.visible = False
        self.take_up.disabled = self.discard.disabled = True


def save_panel(
    doc: Document, desk: Desk, deeds: Deeds, keyboard: Keyboard, errands: Errands, *, visitor: Visiting
) -> tuple[Column, Row]:
    """Return the panel, and the line at the top of the page that offers unsaved work."""
    panel = SavePanel(doc, desk, deeds, keyboard, errands, visitor=visitor)
    return panel.layout(), panel.recovery
