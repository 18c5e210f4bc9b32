"""Ports of loopback and requests to a server on them."""

import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.model import ProgramFailedError, SettingsError

if TYPE_CHECKING:
    import httpx

LOOPBACK = "127.0.0.1"
CONFLICT, BUSY = 409, 503
"""Status codes of RFC 9110: the thing exists already; the service is unavailable for now."""
BUSY_S = 120.0
"""SQLite lets a writer wait for up to 60 s."""
BUSY_TRIES = 60
"""A second each: SQLite that is written to by the services of a starting server was busy for 20 s at most."""


def taken(port: int) -> bool:
    """Tell whether something listens on a port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) == 0


def wait_for(url: str, *, limit_s: float, log: Path, gave_up: Callable[[], str | None] = lambda: None) -> None:
    """Return when a server answers a URL with 200; `gave_up` says why one that has ended will not.

    Raises
    ------
    ProgramFailedError
        If it does not in time.
    SettingsError
        If it gave up.
    """
    import httpx

    limit = time.monotonic() + limit_s
    while time.monotonic() < limit:
        try:
            if httpx.get(url, timeout=2).status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        if (said := gave_up()) is not None:
            raise SettingsError(said, f"see {log}")
        time.sleep(0.5)
    raise ProgramFailedError(f"{url} does not answer after {limit_s:g} s", f"see {log}")


def send(method: str, url: str, body: Mapping[str, object], *, password: str) -> int:
    """Send one JSON request, again while the server's database is busy; return the status, 409 included.

    Raises
    ------
    ProgramFailedError
        If the server refuses it.
    """
    return _answer(method, url, body, password).status_code


def ask(url: str, body: Mapping[str, object], *, password: str) -> Any:
    """Post one JSON question as `send` does; return the answer."""
    return _answer("POST", url, body, password).json()


def _answer(method: str, url: str, body: Mapping[str, object], password: str) -> "httpx.Response":
    import httpx

    user, _, secret = password.partition(":")
    for _ in range(BUSY_TRIES):
        answer = httpx.request(method, url, json=dict(body), timeout=BUSY_S, auth=(user, secret))
        if answer.status_code != BUSY:
            break
        time.sleep(1.0)
    if answer.is_error and answer.status_code != CONFLICT:
        raise ProgramFailedError(f"the server refused {method} {url}: {answer.status_code}", answer.text[:300])
    return answer
