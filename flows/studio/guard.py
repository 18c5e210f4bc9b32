"""Who may enter the studio: decided for every request, before anything else looks at it.

Two guards. On a desk (`TokenGuard`) the server prints an address with a token, which is exchanged for a cookie that no
script can read and no other site can send. Behind a reverse proxy (`ProxyGuard`) the proxy has asked for the password
and says who it is and in which role; it proves itself by a secret, as whoever is on the machine can reach the port.

Both answer only under their own names (a page that lets its name point here, DNS rebinding, is refused) and to their
own pages: a request with the Origin of another page is refused, and a WebSocket without one, too.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

TOKEN_FIELD = "token"  # noqa: S105 the name of a field
PROXY_HEADER, USER_HEADER, ROLE_HEADER = "X-Apertura-Proxy", "X-Forwarded-User", "X-Apertura-Role"
OPERATOR, VIEWER = "operator", "viewer"
SECRET_LENGTH_MIN = 16
"""Characters; of 64 letters that is 96 bits, beyond any guessing over a network."""
SECRET_BYTES = 24
"""Of tokens and cookies that are made here: 192 bits, 32 letters in an address. Chosen, not measured."""
DENIED, MISDIRECTED, BAD_METHOD = 403, 421, 405
"""Status codes of RFC 9110: forbidden; asked under another name; not GET or HEAD."""
USER_LENGTH_MAX = 100
"""Characters of a user's name: it stands in the files that are saved. Chosen, not measured."""


class Visitor(NamedTuple):
    """Who looks, whether he may change anything, and whether his name is that of a login, which he cannot choose."""

    name: str
    may_write: bool
    vouched: bool = False


class Asked(NamedTuple):
    """What of a request decides. Names of headers are those of the constants above; fields have their first value."""

    method: str
    host: str
    origin: str | None
    websocket: bool
    query: Mapping[str, str]
    cookies: Mapping[str, str]
    headers: Mapping[str, str]


class Entrance(NamedTuple):
    """The token was right: a cookie is set, and the browser is sent to the address without the token."""

    cookie_name: str
    cookie: str


class Denial(NamedTuple):
    """A request that is not answered, and what a person can do."""

    status: int
    title: str
    advice: str


class Guard(Protocol):
    """Decides about every request."""

    def admit(self, asked: Asked) -> Visitor | Entrance | Denial:
        """Return who asks, the way in, or why not."""
        ...


@dataclass(frozen=True)
class Names:
    """Under which origins the studio is reached, each as ``http://127.0.0.1:5110``."""

    origins: frozenset[str]

    @classmethod
    def of_loopback(cls, port: int, *further: str) -> "Names":
        """Return the names of this machine, and the origins of further addresses."""
        own = {f"http://{name}:{port}" for name in ("127.0.0.1", "localhost")}
        return cls(frozenset(own | {origin_of(address) for address in further}))

    @property
    def hosts(self) -> frozenset[str]:
        """Values of the header Host that are answered."""
        return frozenset(urlsplit(origin).netloc for origin in self.origins)

    def wrong(self, asked: Asked) -> Denial | None:
        """Return why a request is not for this server or not from its own pages."""
        if asked.host.lower() not in self.hosts:
            return Denial(MISDIRECTED, "Not under this name", "Open the address that the studio printed when it began.")
        if asked.method not in {"GET", "HEAD"}:
            return Denial(BAD_METHOD, "Not a request that the studio answers", "Open the page itself.")
        if asked.websocket and asked.origin is None:
            return Denial(DENIED, "Not from the studio's own page", "Open the studio in a browser.")
        if asked.origin is not None and asked.origin.lower() not in self.origins:
            return Denial(DENIED, "From a page of another origin", "Open the studio itself, not a page that embeds it.")
        return None


@dataclass(frozen=True)
class TokenGuard:
    """Of a studio on one's own machine: a token in the address, then a cookie. Its one user may do everything."""

    names: Names
    token: str
    user: str
    cookie_name: str
    """Browsers send the cookies of a host to all of its ports: that of another studio must have another name."""
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(SECRET_BYTES))

    def admit(self, asked: Asked) -> Visitor | Entrance | Denial:
        """Return who asks, the way in, or why not."""
        if (wrong := self.names.wrong(asked)) is not None:
            return wrong
        if (token := asked.query.get(TOKEN_FIELD)) is not None and not asked.websocket:
            if not same(token, self.token):
                return Denial(
                    DENIED,
                    "The token in this address is wrong",
                    "Each start of the studio has a token of its own. Open the address that the last start of "
                    "`apertura draw` printed in the terminal.",
                )
            return Entrance(self.cookie_name, self.cookie)
        if not same(asked.cookies.get(self.cookie_name, ""), self.cookie):
            return Denial(
                DENIED,
                "This address lacks its token",
                "Open the whole address that `apertura draw` printed in the terminal, with `?token=...` at its end. "
                "If it was printed by an earlier start, begin the studio again.",
            )
        return Visitor(self.user, may_write=True)


@dataclass(frozen=True)
class ProxyGuard:
    """Of a facility: the reverse proxy says who asks, and proves itself by a secret. Operators may write."""

    names: Names
    secret: str

    def admit(self, asked: Asked) -> Visitor | Entrance | Denial:
        """Return who asks, or why not."""
        if (wrong := self.names.wrong(asked)) is not None:
            return wrong
        if not same(asked.headers.get(PROXY_HEADER, ""), self.secret):
            return Denial(DENIED, "Not through the facility's own address", "Open the studio by the facility's pages.")
        user = "".join(letter for letter in asked.headers.get(USER_HEADER, "") if letter.isprintable())
        if not user:
            return Denial(DENIED, "Nobody is logged in", "Log in at the facility's pages.")
        return Visitor(user[:USER_LENGTH_MAX], may_write=asked.headers.get(ROLE_HEADER) == OPERATOR, vouched=True)


def same(given: str, kept: str) -> bool:
    """Compare two secrets in a time that does not tell where they differ."""
    return hmac.compare_digest(given.encode(errors="replace"), kept.encode())


def origin_of(address: str) -> str:
    """Return the origin of an address, as browsers write it: without the port that its scheme has anyway."""
    parts = urlsplit(address)
    port = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    return f"{parts.scheme}://{parts.netloc.lower().removesuffix(port)}"


def policy(names: Names, nonce: str) -> str:
    """Return the Content-Security-Policy of a page: nothing from elsewhere, no script but those that the server wrote.

    BokehJS makes functions of the text of `CustomJS` ('unsafe-eval') and puts styles into the page. Both texts come
    from the server, as the nonce of its scripts does; text of data stands in JSON, which no browser executes.
    """
    sockets = " ".join(sorted(origin.replace("http", "ws", 1) for origin in names.origins))
    return (
        f"default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' {sockets}; worker-src 'self' blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


FIXED_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}
"""Of every answer: no guessing of types, no address (which may hold a token) told to others, no frame, no window."""
