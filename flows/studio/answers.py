"""What the studio's server answers beside Bokeh's pages: refusals, the way in, the list of runs; and what all carry."""

import re
import secrets
from html import escape
from urllib.parse import urlencode

from bokeh.server.tornado import BokehTornado
from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import OutputTransform, RequestHandler

from flows.studio.guard import FIXED_HEADERS, SECRET_BYTES, TOKEN_FIELD, Denial, Entrance, Names, policy
from flows.studio.places import RUN_FIELD


class SafeHeaders(OutputTransform):
    """Adds what every answer says of safety; lets run the scripts that Bokeh wrote into a page, and no others."""

    def __init__(self, names: Names, request: HTTPServerRequest) -> None:
        super().__init__(request)
        self._names = names

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """Add the headers, and the nonce to the scripts of a page."""
        for name, value in FIXED_HEADERS.items():
            headers[name] = value
        headers.pop("Server", None)
        if "Content-Security-Policy" in headers:  # of a report: its bytes stay as they are
            return status_code, headers, chunk
        nonce = secrets.token_urlsafe(SECRET_BYTES)
        headers["Content-Security-Policy"] = policy(self._names, nonce)
        if headers.get("Content-Type", "").startswith("text/html"):
            headers["Cache-Control"] = "no-store"
            if finishing:
                chunk = chunk.replace(b"<script", f'<script nonce="{nonce}"'.encode())
                headers["Content-Length"] = str(len(chunk))
        return status_code, headers, chunk


class StudioPage(RequestHandler):
    """A page that is not Bokeh's: short, and readable in light and dark."""

    def show(self, title: str, *paragraphs: str) -> None:
        """Write a title and paragraphs; the paragraphs are HTML."""
        body = "".join(f"<p>{text}</p>" for text in paragraphs)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(PAGE.format(title=escape(title), body=body))


SEE_OTHER = 303  # of RFC 9110
PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>apertura: {title}</title>
<style>:root{{color-scheme:light dark}}body{{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:12vh auto;
padding:0 1.5rem}}h1{{font-size:1.4rem}}code{{font-size:.95em}}</style><h1>{title}</h1>{body}</html>"""


class DeniedPage(StudioPage):
    """Says why a request is not answered, and what to do."""

    def initialize(self, denial: Denial) -> None:
        """Take the reason."""
        self._denial = denial

    def prepare(self) -> None:
        """Answer, whatever the method."""
        self.set_status(self._denial.status)
        self.show(self._denial.title, re.sub("`(.*?)`", r"<code>\1</code>", escape(self._denial.advice)))


class EntrancePage(StudioPage):
    """Exchanges the token for a cookie, and goes on to the address without it."""

    def initialize(self, entrance: Entrance) -> None:
        """Take the cookie."""
        self._entrance = entrance

    def get(self) -> None:
        """Set the cookie and redirect.

        Where the way here began at another site (the file that opens the browser, a mail), a redirect would still
        belong to that site, and the browser would keep the cookie back: then the page itself goes on.
        """
        prefix = self.application.prefix if isinstance(self.application, BokehTornado) else ""
        name, value = self._entrance
        self.set_cookie(name, value, httponly=True, samesite="Strict", path=prefix or "/")
        kept = {key: values[0] for key, values in self.request.query_arguments.items() if key != TOKEN_FIELD}
        address = f"{prefix}/" + (f"?{urlencode(kept)}" if kept else "")
        if self.request.headers.get("Sec-Fetch-Site") != "cross-site":
            self.redirect(address, status=SEE_OTHER)
            return
        self.set_header("Refresh", f"0; url={address}")
        self.show("The studio opens", f'<a href="{escape(address)}">Go on</a>')


class RunsPage(StudioPage):
    """Lists the runs that may be opened."""

    def initialize(self, runs: tuple[str, ...]) -> None:
        """Take the names."""
        self._runs = runs

    def get(self) -> None:
        """Show them, the newest first."""
        links = (f'<a href="?{urlencode({RUN_FIELD: name})}">{escape(name)}</a>' for name in self._runs)
        self.show("Runs", *(links if self._runs else ["No run is here yet."]))
