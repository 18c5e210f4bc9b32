"""A studio that is served for real, in a thread, with a page of its own: what the server does beside any window."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
from bokeh.document import Document
from bokeh.models import Button, Column, CustomJS, Div
from bokeh.plotting import figure

from flows.studio.guard import Guard, Names, TokenGuard, Visitor
from flows.studio.places import Whereabouts
from flows.studio.reports import Reports
from flows.studio.server import listen, run_studio
from flows.studio.sessions import Studio
from tasks.model import SourceError

TOKEN = "of-this-test-and-long-enough"
WAIT_S = 180.0
"""Patience with a machine that has much else to do: nothing takes as long on a quiet one."""


class Served:
    """A studio in a thread, with a page that counts clicks, and what it kept at its end."""

    def __init__(
        self, whereabouts: Whereabouts, *, guard: Guard | None = None, names: Names | None = None, prefix: str = "",
        reports: Reports | None = None,
    ) -> None:  # fmt: skip
        self.sockets, self.port = listen(None)
        self.names = names or Names.of_loopback(self.port)
        self.cookie_name = f"apertura-{self.port}"
        self.guard = guard or TokenGuard(self.names, TOKEN, "ada", self.cookie_name)
        self.url = f"http://127.0.0.1:{self.port}"
        self.prefix = prefix
        self.kept: list[int] = []
        self.visitors: list[Visitor] = []
        self.studio = Studio(whereabouts, self.open_place, self.make_document, reports)
        self.ended, self.began = asyncio.Event(), threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()
        assert self.began.wait(WAIT_S)

    def _serve(self) -> None:
        async def served() -> None:
            self.loop = asyncio.get_running_loop()
            await run_studio(
                self.studio, self.guard, self.sockets,
                names=self.names, prefix=self.prefix, began=self.began.set, ended=self.ended,
            )  # fmt: skip

        asyncio.run(served())

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.ended.set)
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()

    @staticmethod
    def open_place(folder: Path) -> str:
        if not folder.is_dir():
            raise SourceError(f"{folder}: no such folder", "name the folder of a run")
        return folder.name

    def make_document(self, doc: Document, place: str, visitor: Visitor) -> Any:
        clicks, may = [0], "write" if visitor.may_write else "look"
        said, button = Div(text=f"{place}: 0 of {visitor.name}, who may {may}"), Button(label="count")
        plot = figure(width=200, height=200, title="$$\\theta$$")
        plot.line([0, 1], [0, 1])

        def count() -> None:
            clicks[0] += 1
            said.text = f"{place}: {clicks[0]} of {visitor.name}, who may {may}"

        button.on_click(count)
        button.js_on_click(CustomJS(code="document.title = 'by script'"))
        doc.add_root(Column(said, button, plot))
        self.visitors.append(visitor)
        return lambda: self.kept.append(clicks[0])

    @property
    def reports(self) -> Path:
        assert self.studio.reports is not None
        return self.studio.reports.folder

    @property
    def cookie(self) -> dict[str, str]:
        assert isinstance(self.guard, TokenGuard)
        return {self.cookie_name: self.guard.cookie}

    def ask(self, path: str = "/", *, method: str = "GET", entered: bool = True, **options: Any) -> httpx.Response:
        return httpx.request(
            method, f"{self.url}{path}", cookies=self.cookie if entered else None, timeout=WAIT_S, **options
        )
