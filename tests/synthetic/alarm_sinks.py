"""Where alarms arrive in tests: a mail server and a web server on loopback that keep what they are sent."""

import http.server
import json
import socket
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


class Told:
    """What arrived, and the receivers of a site file that lead here."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.hooks: list[dict[str, Any]] = []
        sink = self

        class Hook(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                sink.hooks.append(json.loads(body))
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the name that its class has
                pass

        with socket.socket() as probe:  # its library cannot be told to take any
            probe.bind(("127.0.0.1", 0))
            self._mail_port = probe.getsockname()[1]
        self._mail = Controller(self, hostname="127.0.0.1", port=self._mail_port)
        self._mail.start()
        self._web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
        threading.Thread(target=self._web.serve_forever, daemon=True).start()

    async def handle_DATA(self, _server: object, _session: object, envelope: Any) -> str:
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 OK"

    @property
    def receivers(self) -> dict[str, Any]:
        """Return both, as the site file has them: the webhook is told of runs alone."""
        mail = f"mailto://127.0.0.1:{self._mail_port}?from=apertura@example.org&to=operator@example.org"
        hook = f"json://127.0.0.1:{self._web.server_port}/alarm"
        return {"operator": {"url": mail}, "hook": {"url": hook, "about": ["failed", "crashed"]}}

    def of(self, words: str) -> dict[str, int]:
        """Return how many alarms with these words in their subjects arrived."""
        return {
            "mail": sum(words in str(one["Subject"]) for one in self.mails),
            "hook": sum(words in one["title"] for one in self.hooks),
        }

    def contents(self, words: str) -> dict[str, str]:
        """Return the parts of the only mail with these words in its subject, by type."""
        (mail,) = [one for one in self.mails if words in str(one["Subject"])]
        return {part.get_content_type(): part.get_content() for part in mail.walk() if not part.is_multipart()}

    def close(self) -> None:
        self._mail.stop()
        self._web.shutdown()
        self._web.server_close()
