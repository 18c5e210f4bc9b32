"""The studio of a facility: opens the runs below the site's folder of runs, each at the address that its page shows.

``python -m flows.studio.service`` reads the site file (`runs`, `studio_url`) and

APERTURA_STUDIO_SECRET
    Behind a reverse proxy: what the proxy sends to prove itself. It says who asks and in which role; operators save,
    solve and accept, viewers look.
APERTURA_STUDIO_TOKEN
    Without a proxy, on one machine: the token of its address. Whoever has it is its one user.
APERTURA_STUDIO_PORT
    On loopback; 5110 by default.

PREFECT_API_URL and PREFECT_API_AUTH_STRING name the server on which runs are made and resumed.
"""

import asyncio
import getpass
import logging
import os
import sys
from urllib.parse import urlsplit

from flows.site import Site, load_site
from flows.studio.guard import SECRET_LENGTH_MIN, Guard, Names, ProxyGuard, TokenGuard
from flows.studio.places import RunsBelow
from flows.studio.server import FIRST_PORT, listen, run_studio
from tasks.model import ApertureError, SettingsError

SECRET_VARIABLE = "APERTURA_STUDIO_SECRET"  # noqa: S105 the name of a variable
TOKEN_VARIABLE = "APERTURA_STUDIO_TOKEN"  # noqa: S105 the name of a variable
PORT_VARIABLE = "APERTURA_STUDIO_PORT"


def guard_of(environment: dict[str, str], site: Site, port: int) -> tuple[Guard, Names]:
    """Return the guard that the environment asks for, and the names under which the studio is reached.

    Raises
    ------
    SettingsError
        If there is no secret, or it is short or the example's, or the site names no address.
    """
    if site.runs is None:
        raise SettingsError("the site file names no `runs`", "name the folder that the studio opens")
    secret, token = environment.get(SECRET_VARIABLE, ""), environment.get(TOKEN_VARIABLE, "")
    if bool(secret) == bool(token):
        raise SettingsError(f"{SECRET_VARIABLE}, {TOKEN_VARIABLE}: give one", "see deployments/env.example")
    if len(secret or token) < SECRET_LENGTH_MIN or "CHANGE-ME" in (secret or token):
        raise SettingsError(
            f"{SECRET_VARIABLE if secret else TOKEN_VARIABLE}: must have {SECRET_LENGTH_MIN} characters or more",
            "make one: python3 -c 'import secrets; print(secrets.token_urlsafe(24))'",
        )
    if token:
        names = Names.of_loopback(port)
        return TokenGuard(names, token, getpass.getuser(), f"apertura-{port}"), names
    if site.studio_url is None:
        raise SettingsError("the site file names no `studio_url`", "name the address at which the proxy serves it")
    names = Names(frozenset(Names.of_loopback(port, site.studio_url).origins))
    return ProxyGuard(names, secret), names


def main() -> None:
    """Serve until SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("bokeh").setLevel(logging.WARNING)
    try:
        from flows.studio.sitting import studio_of

        site = load_site()
        port = int(os.environ.get(PORT_VARIABLE, str(FIRST_PORT)))
        guard, names = guard_of(dict(os.environ), site, port)
        if site.runs is None:
            raise SettingsError("the site file names no `runs`", "name the folder that the studio opens")
        sockets, _ = listen(port)
        prefix = urlsplit(site.studio_url or "").path.rstrip("/")
        asyncio.run(run_studio(studio_of(RunsBelow(site.runs)), guard, sockets, names=names, prefix=prefix))
    except ApertureError as error:
        sys.exit(f"apertura: {error.message}\n  {error.advice}")


if __name__ == "__main__":
    main()
