"""The studio's window in headless Chromium: a server in a thread, and a pointer that knows the two planes."""

import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from bokeh.application import Application
from bokeh.application.handlers.function import FunctionHandler
from bokeh.document import Document
from bokeh.server.server import Server
from tornado.ioloop import IOLoop

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_S = 180.0
"""Patience with a machine that has much else to do: nothing takes as long on a quiet one."""
PLANES = {"real": '[aria-label^="Real space"]', "reciprocal": '[aria-label^="Reciprocal space"]'}


@contextmanager
def serving(make: Callable[[Document], object]) -> Iterator[str]:
    """Serve what `make` puts on a page, at an address of this machine alone, from a thread."""
    began, loops, ports = threading.Event(), [], []

    def serve() -> None:
        loop = IOLoop()
        server = Server(
            {"/": Application(FunctionHandler(make))}, io_loop=loop, port=0, address="127.0.0.1",
        )  # fmt: skip
        server.start()
        loops.append(loop)
        ports.append(server.port)
        began.set()
        loop.start()
        server.stop()
        loop.close(all_fds=True)

    thread = threading.Thread(target=serve)
    thread.start()
    assert began.wait(WAIT_S)
    try:
        yield f"http://localhost:{ports[0]}/"
    finally:
        loops[0].add_callback(loops[0].stop)
        thread.join(WAIT_S)


@contextmanager
def chromium() -> Iterator[Any]:
    """Run the browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Hand:
    """A pointer upon the planes of a page: places are (row, column) of the scan, or (slow, fast) of the detector."""

    def __init__(self, page: Any, scan_shape: tuple[int, int], detector_shape: tuple[int, int]) -> None:
        self.page = page
        self._shapes = {"real": scan_shape, "reciprocal": detector_shape}

    def place(self, point: tuple[float, float], plane: str = "real") -> tuple[float, float]:
        """Return where a point lies in the window, whole view."""
        box = self.page.locator(PLANES[plane]).first.bounding_box()
        rows, columns = self._shapes[plane]
        return (
            box["x"] + (point[1] + 0.5) / columns * box["width"],
            box["y"] + (point[0] + 0.5) / rows * box["height"],
        )

    def press(self, point: tuple[float, float], plane: str = "real") -> None:
        """Put the pointer down."""
        self.page.mouse.move(*self.place(point, plane))
        self.page.mouse.down()

    def draw(self, points: Iterable[tuple[float, float]], plane: str = "real", *, wait_ms: float = 8.0) -> None:
        """Move through points, as fast as a hand does."""
        for point in points:
            self.page.mouse.move(*self.place(point, plane))
            self.page.wait_for_timeout(wait_ms)

    def drag(self, points: list[tuple[float, float]], plane: str = "real") -> None:
        """Press, move through the points, let go."""
        self.press(points[0], plane)
        self.draw(points[1:], plane)
        self.page.mouse.up()

    def click(self, point: tuple[float, float], plane: str = "real") -> None:
        """Click, and wait until the next click is none of a double click."""
        self.page.mouse.click(*self.place(point, plane))
        self.page.wait_for_timeout(400)
