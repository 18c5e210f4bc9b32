"""The sessions of the studio: a folder opened for each page, its document made, its unsaved work kept at the end."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from bokeh.application.application import ServerContext, SessionContext
from bokeh.application.handlers.handler import Handler
from bokeh.document import Document as Page
from bokeh.models.widgets.markups import Div
from bokeh.server.contexts import BokehSessionContext
from tornado.httputil import HTTPServerRequest

from flows.studio.guard import PROXY_HEADER, ROLE_HEADER, USER_HEADER, Asked, Guard, Visitor
from flows.studio.places import RUN_FIELD, Whereabouts
from flows.studio.reports import Reports
from tasks.model import ApertureError

log = logging.getLogger("apertura.studio")

VISITOR_FIELD = "visitor"

Keep = Callable[[], None]
"""Keeps the unsaved work of a session; called when it ends, and when the server stops."""


class Studio(NamedTuple):
    """What the server serves: how a folder is opened, in a thread, and how a page of it is made."""

    whereabouts: Whereabouts
    open_place: Callable[[Path], Any]
    make_document: Callable[[Page, Any, Visitor], Keep]
    reports: Reports | None = None
    """What was solved here, where no site serves it."""


class StudioSessions(Handler):  # type: ignore[misc]  # Bokeh's classes are untyped here
    """Makes the document of each browser session, and keeps its unsaved work when it ends."""

    def __init__(self, studio: Studio, guard: Guard) -> None:
        super().__init__()
        self._studio = studio
        self._guard = guard
        self._opened: dict[str, Any] = {}
        self._keeps: dict[str, Keep] = {}

    def process_request(self, request: HTTPServerRequest) -> dict[str, Any]:
        """Write into the signed token of the session whose it is."""
        return {VISITOR_FIELD: self._guard.admit(asked_of(request))}

    async def on_session_created(self, session_context: SessionContext) -> None:
        """Open the folder that the address means, without keeping others waiting."""
        run = _first(_payload(session_context)["arguments"].get(RUN_FIELD))
        try:
            folder = self._studio.whereabouts.find(run)
            self._opened[session_context.id] = await asyncio.to_thread(self._studio.open_place, folder)
        except ApertureError as error:
            log.warning("%s: %s", run or "studio", error.message)
            self._opened[session_context.id] = error

    def modify_document(self, doc: Page) -> None:
        """Fill the page of a session, or say why there is nothing to see."""
        context = doc.session_context
        if context is None:
            return
        place = self._opened.pop(context.id, None)
        doc.title = "apertura"
        if place is None:
            doc.add_root(_told("This folder could not be opened", "The log of the studio says more."))
        elif isinstance(place, ApertureError):
            doc.add_root(_told(place.message, place.advice or ""))
        else:
            try:
                visitor = Visitor(*_payload(context)[VISITOR_FIELD])
                self._keeps[context.id] = self._studio.make_document(doc, place, visitor)
            except ApertureError as error:
                doc.clear()
                doc.add_root(_told(error.message, error.advice or ""))

    async def on_session_destroyed(self, session_context: SessionContext) -> None:
        """Keep what was not saved."""
        self._keep(session_context.id)

    def on_server_unloaded(self, server_context: ServerContext) -> None:  # noqa: ARG002 Bokeh's signature
        """Keep what was not saved, of all sessions."""
        for name in list(self._keeps):
            self._keep(name)

    def _keep(self, name: str) -> None:
        keep = self._keeps.pop(name, None)
        if keep is None:
            return
        try:
            keep()
        except (ApertureError, OSError) as error:
            log.error("unsaved work could not be kept: %s", error)  # noqa: TRY400 it is the disk's, not ours


def asked_of(request: HTTPServerRequest) -> Asked:
    """Return what of a request decides."""
    return Asked(
        method=request.method or "",
        host=request.headers.get("Host", ""),
        origin=request.headers.get("Origin"),
        websocket=request.headers.get("Upgrade", "").lower() == "websocket",
        query={name: _first(values) or "" for name, values in request.query_arguments.items()},
        cookies={name: morsel.value for name, morsel in request.cookies.items()},
        headers={name: request.headers.get(name, "") for name in (PROXY_HEADER, USER_HEADER, ROLE_HEADER)},
    )


def _payload(context: SessionContext) -> dict[str, Any]:
    return context.token_payload if isinstance(context, BokehSessionContext) else {"arguments": {}}


def _first(values: Sequence[bytes | str] | None) -> str | None:
    if not values:
        return None
    return values[0].decode(errors="replace") if isinstance(values[0], bytes) else values[0]


def _told(title: str, advice: str) -> Div:
    style = {"font": "16px/1.5 system-ui, sans-serif", "max-width": "42rem", "margin": "12vh auto"}
    return Div(text=f"<h1>{escape(title)}</h1><p>{escape(advice)}</p>", sizing_mode="stretch_width", styles=style)
