"""The studio's server: Bokeh's own, embedded, on loopback only, with a guard that sees every request first."""

import asyncio
import contextlib
import errno
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path

from bokeh.server.server import BaseServer
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop

from adapters.host.http import LOOPBACK
from flows.studio.guard import Guard, Names
from flows.studio.guarded import GuardedTornado
from flows.studio.sessions import Studio
from tasks.model import SettingsError

FIRST_PORT, PORTS_TRIED = 5110, 20
"""Where a free port is looked for. Chosen, not measured: beside Bokeh's 5006 and Prefect's 4200, and one that is the
same at each start, so that an address can be kept as a bookmark."""
CLOSE_S = 5.0
"""To close connections at the end; unsaved work was kept before. Chosen, not measured."""


def listen(port: int | None) -> tuple[list[socket.socket], int]:
    """Return a port of loopback that listens: the one that is asked for, or the first that is free.

    Raises
    ------
    SettingsError
        If the port that is asked for is taken, or may not be used.
    """
    for tried in (port,) if port is not None else (*range(FIRST_PORT, FIRST_PORT + PORTS_TRIED), 0):
        try:
            found = socket.create_server((LOOPBACK, tried))  # Tornado's own leaves a socket open where a port is taken
        except OSError as error:
            if port is None and error.errno == errno.EADDRINUSE:
                continue
            why = "taken by another program" if error.errno == errno.EADDRINUSE else error.strerror
            raise SettingsError(f"--port {port}: {why}", "name another port, or none: a free one is found") from error
        found.setblocking(False)
        return [found], found.getsockname()[1]
    raise SettingsError("no port is free on this machine", "end a program that listens, and begin again")


async def run_studio(
    studio: Studio,
    guard: Guard,
    sockets: Sequence[socket.socket],
    *,
    names: Names,
    prefix: str = "",
    began: Callable[[], None] = lambda: None,
    ended: asyncio.Event | None = None,
) -> None:
    """Serve until `ended` is set, by default by SIGINT or SIGTERM; unsaved work of all sessions is kept then."""
    if ended is None:
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    application = GuardedTornado(studio, guard, names=names, prefix=prefix)
    http = HTTPServer(application, xheaders=False)
    http.add_sockets(sockets)
    server = BaseServer(IOLoop.current(), application, http)
    server.start()
    began()
    try:
        await ended.wait()
    finally:
        server.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(http.close_all_connections(), CLOSE_S)


@contextlib.contextmanager
def browser_at(address: str) -> Iterator[None]:
    """Open the user's browser at an address with a token, and forget the way at the end.

    By a file that only the user can read: the arguments of a program are there for everybody on the machine to see.
    """
    import webbrowser

    with tempfile.TemporaryDirectory(prefix="apertura-") as folder:
        way = Path(folder) / "studio.html"
        way.write_text(f'<meta http-equiv="refresh" content="0; url={escape(address)}">', encoding="utf-8")
        threading.Thread(target=webbrowser.open, args=(way.as_uri(),), daemon=True).start()
        yield
