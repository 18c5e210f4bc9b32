"""Bokeh's web application behind the guard."""

import logging
import secrets
from functools import partial
from typing import Any

from bokeh.application import Application
from bokeh.resources import Resources
from bokeh.server.tornado import BokehTornado
from bokeh.server.views.static_handler import StaticHandler
from bokeh.util.token import check_token_signature, get_token_payload
from tornado.httputil import HTTPServerRequest
from tornado.web import RequestHandler

from flows.studio.answers import DeniedPage, EntrancePage, RunsPage, SafeHeaders
from flows.studio.guard import DENIED, SECRET_BYTES, Denial, Entrance, Guard, Names, Visitor
from flows.studio.places import RUN_FIELD, RunsBelow
from flows.studio.reports import ReportFile, report_options
from flows.studio.sessions import VISITOR_FIELD, Studio, StudioSessions, asked_of
from tasks.model import ApertureError

log = logging.getLogger("apertura.studio")

SITTING_S = 12 * 3600
"""For so long a page may come back to its session after a lost connection (a closed lid). A working day, chosen."""
LINGER_S = 60
"""For so long a session is kept that no page is connected to: a reload or a broken network. Its drawing is kept on
disk at its end. Chosen, not measured: each holds a few tilts in memory."""
MESSAGE_BYTES_MAX = 4 * 2**20
"""Of one message of a browser: a stroke of 10,000 points is 0.5 MB. Chosen, not measured."""
NOT_FOUND = 404  # of RFC 9110


class GuardedTornado(BokehTornado):  # type: ignore[misc]  # Bokeh's classes are untyped here
    """Bokeh's application behind a guard; it answers pages, assets, their WebSocket and reports, nothing else."""

    def __init__(self, studio: Studio, guard: Guard, *, names: Names, prefix: str) -> None:
        self._guard = guard
        self._studio = studio
        self.names = names
        application = Application(StudioSessions(studio, guard))
        super().__init__(
            {"/": application},
            prefix=prefix,
            extra_websocket_origins=[host if ":" in host else f"{host}:80" for host in names.hosts],
            secret_key=secrets.token_bytes(SECRET_BYTES),
            sign_sessions=True,
            include_headers=[],  # or they would stand in the page, the cookie among them
            include_cookies=[],
            session_token_expiration=SITTING_S,
            unused_session_lifetime_milliseconds=LINGER_S * 1000,
            websocket_max_message_size_bytes=MESSAGE_BYTES_MAX,
            use_index=False,
            log_function=_log_request,
            transforms=[partial(SafeHeaders, names)],
        )

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Return what answers a request, after the guard has looked at it."""
        found = self._guard.admit(asked_of(request))
        if isinstance(found, Denial):
            return self.get_handler_delegate(request, DeniedPage, {"denial": found})
        if isinstance(found, Entrance):
            return self.get_handler_delegate(request, EntrancePage, {"entrance": found})
        path = request.path.removeprefix(self.prefix)
        if _foreign_session(request) or (path == "/ws" and not self._own_session(request, found)):
            denial = Denial(DENIED, "Not your session", "Open the studio anew.")
            return self.get_handler_delegate(request, DeniedPage, {"denial": denial})
        if path in {"", "/"} and isinstance(self._studio.whereabouts, RunsBelow) and RUN_FIELD not in request.arguments:
            return self.get_handler_delegate(request, RunsPage, {"runs": self._studio.whereabouts.newest()})
        return self._report(path, request) or super().find_handler(request, **kwargs)

    def _report(self, path: str, request: HTTPServerRequest) -> Any:
        """Return what sends a file of what was solved here, or says that nothing is there; None of Bokeh's own."""
        reports = self._studio.reports
        if reports is not None and (place := reports.find(path)) is not None:
            return self.get_handler_delegate(request, ReportFile, **report_options(reports, place))
        if (absent := self._absent(path, request)) is not None:
            return self.get_handler_delegate(request, DeniedPage, {"denial": absent})
        return None

    def _absent(self, path: str, request: HTTPServerRequest) -> Denial | None:
        """Return what to say of an address at which there is nothing; None where there is."""
        if path in {"", "/"}:
            try:
                self._studio.whereabouts.find(asked_of(request).query.get(RUN_FIELD))
            except ApertureError as error:
                return Denial(NOT_FOUND, error.message, error.advice or "")
        elif path not in {"/ws", "/favicon.ico"} and not path.startswith("/static/"):
            return Denial(NOT_FOUND, "Nothing here", "Open the studio's own address.")
        return None

    def resources(self, absolute_url: str | bool | None = None) -> Resources:  # noqa: ARG002 Bokeh's signature
        """Return where pages find BokehJS: here, whatever the environment says of other places."""
        return Resources(mode="server", root_url=f"{self.prefix}/", path_versioner=StaticHandler.append_version)

    def _own_session(self, request: HTTPServerRequest, visitor: Visitor) -> bool:
        """Tell whether the session that a WebSocket asks for was begun by who asks."""
        token = request.headers.get("Sec-WebSocket-Protocol", "").rpartition(",")[2].strip()
        try:
            signed = check_token_signature(token, secret_key=self.secret_key, signed=True)
            return signed and get_token_payload(token).get(VISITOR_FIELD) == list(visitor)
        except (ValueError, KeyError, TypeError, AssertionError):  # whatever Bokeh says of a token that is none
            return False


def _foreign_session(request: HTTPServerRequest) -> bool:
    """Tell whether a page asks to join a session that is there already: each page has its own."""
    joined = {"bokeh-session-id", "bokeh-token"} & set(request.arguments)
    return bool(joined) or "Bokeh-Session-Id" in request.headers


def _log_request(handler: RequestHandler) -> None:
    """Log a request without its query, in which a token may stand."""
    request = handler.request
    log.info("%d %s %s %.0f ms", handler.get_status(), request.method, request.path, 1000 * request.request_time())
