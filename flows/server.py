"""Prefect's server behind two locks that it lacks: only known Host names are answered, and runs are served with it.

``python -m flows.server`` stands in for ``prefect server start``; it obeys the same PREFECT_SERVER_* settings and

APERTURA_HOSTS
    Names under which the server may be asked for, with commas; loopback always is. A page of another origin that lets
    its name point here (DNS rebinding) is refused with 400.
APERTURA_RUNS_TOKEN
    If set, the site's folder of runs is served under ``/runs/TOKEN/``: files in it only, no link that leads out, and
    pages without any right on the server's own origin.

Users and passwords are Prefect's (PREFECT_SERVER_API_AUTH_STRING). Without one this server does not start.
"""

import base64
import hmac
import os
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import TYPE_CHECKING

from adapters.host.give_back import give_back
from flows.preflight import check_database, check_port, check_room, stop_with
from flows.site import load_site
from tasks.model import SettingsError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

HOSTS_VARIABLE = "APERTURA_HOSTS"
TOKEN_VARIABLE = "APERTURA_RUNS_TOKEN"  # noqa: S105 the name of a variable
PASSWORD_VARIABLE = "PREFECT_SERVER_API_AUTH_STRING"  # noqa: S105 the name of a variable
ASSETS = "/assets/"
METRICS = "/apertura/metrics"
LOOPBACK_HOSTS = ("127.0.0.1", "localhost")
TOKEN_LENGTH_MIN = 16
"""Characters; of 64 letters that is 96 bits, beyond any guessing over a network."""
PASSWORD_LENGTH_MIN = 12
"""Characters: NIST SP 800-63B asks for 8 of people's passwords and for more where they are alone, as here."""
PAGES_POLICY = (
    "sandbox allow-scripts allow-downloads allow-popups; default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; img-src 'self' data:; font-src data:; form-action 'none'; frame-ancestors 'none'"
)
"""Of reports: text in them comes from outside, so they run in an origin of their own and reach nothing."""


def guarded() -> "ASGIApp":
    """Return Prefect's application with the two locks.

    Raises
    ------
    SettingsError
        If there is no password, or it is the example's.
    """
    from prefect.server.api.server import create_app
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    import_module("flows.alarm_address")  # an automation sends to it
    check_password(os.environ.get(PASSWORD_VARIABLE, ""))
    app = create_app(final=True, webserver_only=bool(os.environ.get("PREFECT__SERVER_WEBSERVER_ONLY")))
    serve_metrics(app)
    if token := os.environ.get(TOKEN_VARIABLE, ""):
        serve_runs(app, token)
    hosts = [name.strip() for name in os.environ.get(HOSTS_VARIABLE, "").split(",") if name.strip()]
    # around the application, not in it: its own services call it in this process, under a name of Prefect's
    return TrustedHostMiddleware(uncompressed(app), allowed_hosts=[*LOOPBACK_HOSTS, *hosts], www_redirect=False)


def uncompressed(app: "ASGIApp") -> "ASGIApp":
    """Return an application that sends the scripts of its pages as they are.

    Prefect compresses each anew for every browser. Measured on the 64 of its first page (8.3 MB) over loopback, beside
    much other work: 4.2 s of CPU time, against 0.6 s; two minutes, against seconds.
    """

    async def asked(scope: "Scope", receive: "Receive", send: "Send") -> None:
        if scope["type"] == "http" and ASSETS in scope["path"]:
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]}
        await app(scope, receive, send)

    return asked


def check_password(value: str) -> None:
    """Refuse a server without a password, or with that of the example.

    Raises
    ------
    SettingsError
        Saying what to set.
    """
    user, _, secret = value.partition(":")
    if not user or len(secret) < PASSWORD_LENGTH_MIN or "CHANGE-ME" in value:
        raise SettingsError(
            f"{PASSWORD_VARIABLE}: must be USER:PASSWORD with a password of {PASSWORD_LENGTH_MIN} characters or more",
            "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'",
        )


def serve_metrics(app: "FastAPI") -> None:
    """Serve the figures of this facility to who knows the password, as Prefect serves its own."""
    from starlette.responses import Response
    from starlette.routing import Route

    def metrics(request: "Request") -> Response:
        if not knows_password(request.headers.get("authorization", "")):
            return Response("the password is missing", 401, {"WWW-Authenticate": "Basic"})
        from flows.metrics import figures_now

        return Response(figures_now(), media_type="text/plain; version=0.0.4")

    app.router.routes.insert(0, Route(METRICS, metrics))


def knows_password(header: str) -> bool:
    """Tell whether an Authorization header holds the server's user and password."""
    kind, _, value = header.partition(" ")
    wanted = base64.b64encode(os.environ.get(PASSWORD_VARIABLE, "").encode())
    return kind.lower() == "basic" and hmac.compare_digest(value.strip().encode(), wanted)


def serve_runs(app: "FastAPI", token: str) -> None:
    """Serve the site's folder of runs below a token that nobody can guess.

    Raises
    ------
    SettingsError
        If the site names no folder, or the token is too short.
    """
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.staticfiles import StaticFiles

    site = load_site()
    if site.runs is None:
        raise SettingsError(f"{TOKEN_VARIABLE} is set, but the site file names no `runs`", "name the folder")
    if len(token) < TOKEN_LENGTH_MIN:
        raise SettingsError(f"{TOKEN_VARIABLE}: shorter than {TOKEN_LENGTH_MIN} characters", "take a random one")
    place = f"/runs/{token}"
    app.mount(place, StaticFiles(directory=site.runs, follow_symlink=False), name="runs")
    routes = app.router.routes
    routes.insert(0, routes.pop())  # Prefect's own pages are mounted at / and would answer first

    app.add_middleware(BaseHTTPMiddleware, dispatch=_fenced)


async def _fenced(request: "Request", call: "Callable[[Request], Awaitable[Response]]") -> "Response":
    """Give the pages of runs no right on the server's own origin."""
    answer = await call(request)
    if request.url.path.startswith("/runs/"):
        answer.headers["Content-Security-Policy"] = PAGES_POLICY
        answer.headers["Referrer-Policy"] = "no-referrer"
        answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def main() -> None:
    """Serve until SIGTERM."""
    import uvicorn
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    api = settings.server.api
    try:
        load_site()
        check_room(settings.home)
        check_port(api.host, api.port)
        app = guarded()
        check_database()
    except SettingsError as error:
        stop_with(error)
    give_back()
    uvicorn.run(
        app,
        host=api.host,
        port=api.port,
        timeout_keep_alive=api.keepalive_timeout,
        log_level=settings.server.logging_level.lower(),
        server_header=False,
    )


if __name__ == "__main__":
    main()
