"""Stands in for a SciCat server: the endpoints that are asked here, over HTTP, after scitacean 26's own calls.

It refuses what is not JSON, names no owner group or has no token, and gives every data set that is posted an
identifier of its own, as SciCat does: whoever posts twice has two. `wrong` says how it goes wrong.
"""

import json
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "a-token-of-tests"


class FakeSciCat:
    """What the server holds, and how it goes wrong: a status for a path, or seconds that it takes."""

    def __init__(self) -> None:
        self.data_sets: dict[str, dict[str, Any]] = {}
        self.blocks: list[dict[str, Any]] = []
        self.attachments: list[dict[str, Any]] = []
        self.wrong: dict[str, int] = {}
        self.slow_s = 0.0
        self.url = ""

    def post(self, name: str, body: dict[str, Any]) -> dict[str, Any]:
        if name == "isValid":
            return {"valid": bool(body["ownerGroup"])}
        if name == "datasets":
            pid = f"20.500.12345/{uuid.uuid4()}"
            self.data_sets[pid] = {**body, "pid": pid}
            return self.data_sets[pid]
        if name == "origdatablocks":
            self.blocks.append(body)
            return body
        self.attachments.append(body)
        return {**body, "aid": str(uuid.uuid4())}

    def get(self, name: str, query: dict[str, list[str]]) -> Any:
        if name == "fullquery":
            wanted = set(json.loads(query["fields"][0])["keywords"])
            return [one for one in self.data_sets.values() if wanted & set(one["keywords"])]
        blocks = [one for one in self.blocks if one["datasetId"] == name]
        pictures = [one for one in self.attachments if one["relationships"][0]["targetId"] == name]
        return {**self.data_sets[name], "origdatablocks": blocks, "attachments": pictures}


def handler(scicat: FakeSciCat) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self.answer(lambda: scicat.get(unquote(parts.path.rsplit("/", 1)[-1]), parse_qs(parts.query)))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(lambda: scicat.post(urlsplit(self.path).path.rsplit("/", 1)[-1], body))

        def answer(self, make: Callable[[], Any]) -> None:
            time.sleep(scicat.slow_s)
            name = urlsplit(self.path).path.rsplit("/", 1)[-1]
            status = scicat.wrong.get(name, 200)
            if self.headers["Authorization"] != f"Bearer {TOKEN}":
                status = 401
            text = json.dumps(make() if status == 200 else {"message": f"told to answer {status}"}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@contextmanager
def serving(port: int = 0) -> Iterator[FakeSciCat]:
    """Serve on a port of loopback, by default on any that is free."""
    scicat = FakeSciCat()
    server = ThreadingHTTPServer(("127.0.0.1", port), handler(scicat))
    scicat.url = f"http://127.0.0.1:{server.server_port}/api/v3"
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that did not wait for its answer
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield scicat
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


if __name__ == "__main__":
    with serving(int(sys.argv[1])) as running:
        print(running.url, flush=True)
        while True:
            time.sleep(5)
            print(json.dumps([one["datasetName"] for one in running.data_sets.values()]), flush=True)
