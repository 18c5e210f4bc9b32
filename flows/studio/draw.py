"""`apertura draw`: the studio of one folder on one's own machine."""

import asyncio
import contextlib
import gc
import getpass
import logging
import secrets
from collections.abc import Callable
from pathlib import Path

from adapters.host.http import LOOPBACK
from flows.studio.guard import SECRET_BYTES, TOKEN_FIELD, Names, TokenGuard
from flows.studio.opening import Place, open_place
from flows.studio.places import OnePlace
from flows.studio.reports import Reports
from flows.studio.saving import file_key
from flows.studio.server import browser_at, listen, run_studio
from flows.studio.sitting import studio_of
from flows.studio.solving import FOLDER


def draw(
    folder: Path,
    *,
    port: int | None,
    browser: bool,
    work: Path | None,
    apertures: Path | None,
    say: Callable[[str], None],
    tell: Callable[[str], None],
) -> None:
    """Serve the studio of a source folder or a run folder until SIGINT or SIGTERM.

    Parameters
    ----------
    say
        Told the address, when it is served.
    tell
        Told what goes on.

    Raises
    ------
    SettingsError
        If the port is taken.
    InputError
        If the folder, or the aperture file, cannot be opened.
    """
    sockets, port = listen(port)
    with contextlib.ExitStack() as stack:
        for one in sockets:
            stack.callback(one.close)
        place = open_place(folder, work=work, apertures=apertures, tell=tell)
        names, token = Names.of_loopback(port), secrets.token_urlsafe(SECRET_BYTES)
        guard = TokenGuard(names, token, getpass.getuser(), f"apertura-{port}")
        address = f"http://{LOOPBACK}:{port}/?{TOKEN_FIELD}={token}"

        def began() -> None:
            say(address)
            tell(f"what is saved goes to {place.work}; Ctrl-C ends the studio, and what is not saved is kept")
            if browser:
                stack.enter_context(browser_at(address))

        studio = studio_of(OnePlace(folder), Reopening(place, apertures), reports=Reports(place.work / FOLDER))
        asyncio.run(run_studio(studio, guard, sockets, names=names, began=began))
        gc.freeze()  # or the interpreter looks through all that numba and Bokeh made before it ends: seconds


class Reopening:
    """Opens the folder for each page: the first time as it was opened at the start, then with what was saved since."""

    def __init__(self, place: Place, apertures: Path | None) -> None:
        self._first: Place | None = place
        self._work = place.work
        self._file = place.aperture_file
        self._key = file_key(place.aperture_file)
        self._apertures = apertures

    def __call__(self, folder: Path) -> Place:
        """Return what a page is made of."""
        first, self._first = self._first, None
        if first is not None:
            return first
        given = self._apertures if file_key(self._file) == self._key else None
        return open_place(folder, work=self._work, apertures=given, tell=logging.getLogger("apertura.studio").info)
