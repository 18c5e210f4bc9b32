"""One session of the studio: a folder is opened, what its visitor may do is fixed, and its page is made."""

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from bokeh.document import Document as Page

from flows.site import load_site
from flows.studio.deeds import Deeds
from flows.studio.desk import Desk
from flows.studio.guard import Visitor
from flows.studio.opening import Place, open_place
from flows.studio.places import Whereabouts
from flows.studio.reports import Reports
from flows.studio.rotation_desk import RotationDesk
from flows.studio.rotation_window import build_rotation
from flows.studio.save_panel import Visiting
from flows.studio.saving import Saved
from flows.studio.sessions import Keep, Studio
from flows.studio.waiting import accept, waits
from flows.studio.window import build
from flows.studio.work_process import Tell
from tasks.drawing import Drawing
from tasks.model import InputError

log = logging.getLogger("apertura.studio")


class VisitorsDeeds(Deeds):
    """The deeds that a visitor may do; what the window offers does not decide, as a browser can send anything."""

    def __init__(self, place: Place, visitor: Visitor) -> None:
        super().__init__(place)
        self._visitor = visitor

    def save(self, drawing: Drawing, changes: Sequence[str], *, who: str) -> Saved:
        """Write the aperture file; raises InputError for who may only look."""
        return super().save(drawing, changes, who=self._allowed(who))

    def save_copy(self, drawing: Drawing, changes: Sequence[str], *, who: str) -> Saved:
        """Write a file beside it; raises InputError for who may only look."""
        return super().save_copy(drawing, changes, who=self._allowed(who))

    def solve(
        self,
        drawing: Drawing,
        tell: Tell,
        *,
        who: str,
        changes: Sequence[str] = (),
        stop: threading.Event | None = None,
    ) -> Path:
        """Save and run; raises InputError for who may only look."""
        return super().solve(drawing, tell, who=self._allowed(who), changes=changes, stop=stop)

    def keep_unsaved(self, drawing: Drawing, changes: Sequence[str] = ()) -> None:
        """Keep a drawing; of who may only look, nothing is kept."""
        if self._visitor.may_write:
            super().keep_unsaved(drawing, changes)

    def accept(self, drawing: Drawing, changes: Sequence[str], *, who: str) -> str:
        """Save, and let the run that waits for a person go on with what was saved; say so."""
        name = self._allowed(who)
        if self.place.run is None:
            raise InputError(f"{self.place.title}: not a run", "open the run that waits")
        saved = self.save(drawing, changes, who=name)
        accept(self.place.run, saved.path, who=name)
        return f"The run goes on with {len(drawing.masks())} crystals as they are drawn."

    def _allowed(self, who: str) -> str:
        """Return the name to keep: that of the login where there is one."""
        if not self._visitor.may_write:
            raise InputError(f"{self._visitor.name} may look, not write", "log in as operator")
        return self._visitor.name if self._visitor.vouched else who


def address_of(path: Path) -> str | None:
    """Return the address of a file of a run in a browser; None where no server serves it."""
    url = load_site().url_of(path)
    return url if url.startswith("http") else None


def open_run(folder: Path) -> Place:
    """Open a run of a facility; what goes on is in the log."""
    return open_place(folder, tell=log.info)


def studio_of(
    whereabouts: Whereabouts, open_folder: Callable[[Path], Place] = open_run, *, reports: Reports | None = None
) -> Studio:
    """Return what the server serves of these folders; `reports` are those that it serves itself."""
    link_to = address_of if reports is None else reports.address_of
    return Studio(whereabouts, open_folder, partial(seat, link_to=link_to), reports)


def seat(doc: Page, place: Place, visitor: Visitor, *, link_to: Callable[[Path], str | None] = address_of) -> Keep:
    """Make the page of one session; return what keeps its unsaved work at its end."""
    doc.title = f"{place.title} - apertura"
    if place.rotation is not None:
        build_rotation(doc, RotationDesk(place.rotation, place.work if visitor.may_write else None, who=visitor.name))
        return lambda: None  # that desk keeps what is unsaved at every change
    if place.series is None or place.scene is None:
        raise InputError(f"{place.title}: holds no scans", "open a tilt series or a rotation series")
    deeds = VisitorsDeeds(place, visitor)
    desk = Desk(
        place.scene,
        place.drawing,
        spots=lambda crystal, tilt: [(one.slow, one.fast, one.h, one.k, one.l) for one in place.spots(crystal, tilt)],
    )
    waiting = place.run is not None and waits(place.run) is not None
    visiting = Visiting(
        who=visitor.name, title=place.title, may_write=visitor.may_write, vouched=visitor.vouched,
        link_to=link_to, accept=deeds.accept if waiting else None,
    )  # fmt: skip
    build(doc, desk, deeds, visitor=visiting)
    notes = list(place.notes)
    if waiting:
        notes.append("this run waits for an answer: correct its apertures, then accept them for the run")
    if not visitor.may_write:
        notes.append(f"{visitor.name} may look, not save")
    if notes:
        desk.say("; ".join(notes) + ".", "warning" if place.in_progress or not visitor.may_write else "info")
    return deeds.close
