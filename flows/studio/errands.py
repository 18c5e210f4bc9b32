"""Work that takes longer than a click: in a thread beside the page, told of on the page, stopped from there."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from bokeh.document import Document

from flows.studio.desk import Desk
from flows.studio.faults import contained, fault_text
from flows.studio.messages import told
from flows.studio.work_process import StoppedError
from tasks.model.errors import ApertureError

log = logging.getLogger(__name__)

T = TypeVar("T")
Tell = Callable[[str], None]
Work = Callable[[Tell, threading.Event], T]


class Errands:
    """One errand at a time. What it tells, and what comes of it, reach the page in the page's own turn."""

    def __init__(self, doc: Document, desk: Desk) -> None:
        self._doc, self._desk = doc, desk
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="studio errand")
        self._stop = threading.Event()
        self._changed: list[Callable[[], None]] = []
        self._closed = False
        self.running: str | None = None
        doc.on_session_destroyed(lambda _context: self.end())

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when an errand begins or ends."""
        self._changed.append(callback)

    def start(
        self,
        name: str,
        work: Work[T],
        done: Callable[[T], None],
        *,
        failed: Callable[[ApertureError], None] | None = None,
    ) -> bool:
        """Begin an errand; False if another is under way.

        Parameters
        ----------
        work
            Runs in the thread with a function that shows what it is told, and an event: it is set to end the work,
            which then raises `StoppedError`.
        done, failed
            Called in the page's turn. By default an error is shown as a message.
        """
        if self.running is not None:
            self._desk.say(f"{self.running} is still going on\nstop it first, or wait", "warning")
            return False
        self._stop = stop = threading.Event()
        self.running = name
        self._desk.say(f"{name} …", "working")
        self._tell_changed()
        future = self._pool.submit(work, partial(self._tell, name), stop)
        future.add_done_callback(lambda one: self._later(partial(self._ended, one, done, failed)))
        return True

    def stop(self) -> None:
        """Ask the errand to stop."""
        if self.running is not None:
            self._stop.set()
            self._desk.say(f"{self.running}: stopping …", "working")

    def end(self) -> None:
        """End with the page."""
        self._closed = True
        self._stop.set()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _tell(self, name: str, text: str) -> None:
        self._later(partial(self._show, name, text))

    def _show(self, name: str, text: str) -> None:
        if self.running == name and not self._stop.is_set():
            self._desk.say(f"{name}: {text}", "working")

    def _later(self, call: Callable[[], None]) -> None:
        if not self._closed:
            self._doc.add_next_tick_callback(call)

    def _ended(
        self, future: Future[T], done: Callable[[T], None], failed: Callable[[ApertureError], None] | None
    ) -> None:
        name, self.running = self.running, None
        error = future.exception()
        if error is None:
            contained(str(name), done, self._desk.say)(future.result())
        elif isinstance(error, StoppedError):
            self._desk.say(f"{name} was stopped.")
        elif isinstance(error, ApertureError):
            (failed or (lambda one: self._desk.say(told(one), "error")))(error)
        else:
            log.error("%s failed: a bug", name, exc_info=error)
            self._desk.say(fault_text(str(name), error), "error")
        self._tell_changed()

    def _tell_changed(self) -> None:
        for callback in self._changed:
            callback()
