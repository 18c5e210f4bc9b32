"""`apertura draw` as a process, and a browser in front of it: for tests of the window, and for pictures of it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
START_S, ANSWER_MS = 300.0, 120_000
"""To start and to answer, on a machine that has much else to do: nothing waits that long on a quiet one."""
FROM_DRAG_PX = 3
"""Of the screen, between two points of a drag: Bokeh calls a move a drag once it is longer than a click's tremble."""


class Studio(NamedTuple):
    """A running studio."""

    address: str
    process: subprocess.Popen[str]


@contextmanager
def studio(folder: Path, *, work: Path) -> Iterator[Studio]:
    """Run `apertura draw` on a folder, and end it as Ctrl-C does."""
    command = [sys.executable, "-m", "flows.cli", "draw", str(folder), "--no-browser", "--work", str(work)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said: Queue[str] = Queue()
    lines: list[str] = []

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            said.put(line)
        said.put("")

    listener = Thread(target=listen, daemon=True)
    listener.start()
    try:
        while "http://" not in (line := said.get(timeout=START_S)):
            assert line, f"the studio ended: {''.join(lines)}"
        yield Studio(line.strip(), process)
    finally:
        process.send_signal(2)
        assert process.wait(60) == 0, "".join(lines)
        listener.join(10)
        assert process.stdout is not None
        process.stdout.close()
    assert "Traceback" not in "".join(lines), "".join(lines)


class Window:
    """A page of the studio, driven as a person drives it."""

    def __init__(self, page: Any, address: str, shape: tuple[int, int], *, plot: str = "Real space") -> None:
        self.page = page
        self.shape = shape
        self.wrong: list[str] = []
        self.elsewhere: list[str] = []
        page.set_default_timeout(ANSWER_MS)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda message: self.wrong.append(message.text) if message.type == "error" else None)
        page.on("request", lambda asked: None if _own(asked.url, address) else self.elsewhere.append(asked.url))
        page.goto(address)
        self.plot = page.locator(f"[aria-label^='{plot}']").first
        self.plot.locator("canvas").first.wait_for()
        page.wait_for_function("Bokeh.documents.length > 0 && Bokeh.documents[0].is_idle")
        page.evaluate("window.cameWith = Bokeh.documents[0].get_model_by_name('beat').data.number[0]")

    def at(self, point: tuple[float, float]) -> tuple[float, float]:
        """Return where a point (row, column) of the plot lies on the page."""
        box = self.plot.bounding_box()
        rows, columns = self.shape
        return (
            box["x"] + box["width"] * (point[1] + 0.5) / columns,
            box["y"] + box["height"] * (point[0] + 0.5) / rows,
        )

    def drag(self, *points: tuple[float, float], hold: bool = False) -> None:
        """Press at the first point, move through the others, and let go, unless it is to be held."""
        mouse = self.page.mouse
        mouse.move(*self.at(points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(point), steps=FROM_DRAG_PX)
        if not hold:
            mouse.up()

    def click(self, point: tuple[float, float]) -> None:
        """Click at a point."""
        self.page.mouse.click(*self.at(point))

    def press(self, *keys: str) -> None:
        """Press keys one after the other, and wait until each has come through."""
        for key in keys:
            self.page.keyboard.press(key)
            self.settle()

    def settle(self) -> None:
        """Wait until the server has answered what was asked so far, and the page has shown it.

        A key that does nothing goes there and back after all other events; updates that it overtakes follow on the next
        trips, and are painted when the number that comes with them is told back; that of the page as it came is not.
        """
        self.page.evaluate(SETTLED)

    def says(self, text: str | re.Pattern[str], *, wait_ms: float = ANSWER_MS) -> Any:
        """Return where the page says something, waited for."""
        found = self.page.get_by_text(text).first
        found.wait_for(timeout=wait_ms)
        return found

    @property
    def electrons(self) -> int:
        """The electrons that the page says are in the pattern."""
        return int(self.page.locator("b.electrons").first.inner_text().replace(",", ""))


def polygon(*, centre: tuple[float, float], radius: float, corners: int = 16) -> Sequence[tuple[float, float]]:
    """Return the corners of a round polygon."""
    from math import cos, pi, sin

    turns = [2 * pi * index / corners for index in range(corners)]
    return [(centre[0] + radius * sin(turn), centre[1] + radius * cos(turn)) for turn in turns]


def _own(url: str, address: str) -> bool:
    origin = address.partition("/?")[0]
    return url.startswith((origin, origin.replace("http", "ws"), "data:", "blob:"))


SETTLED = """
async () => {
  const page = Bokeh.documents[0]
  const [pressed, beat, echo] = ['pressed', 'beat', 'echo'].map(name => page.get_model_by_name(name))
  const until = async done => {
    for (let wait = 0; !done(); wait++) {
      if (wait > 2000) throw new Error(`no answer: ${pressed.value}, ${beat.data.number[0]}, ${echo.data.number[0]}`)
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
  await until(() => pressed.value == '')
  for (let trip = 0; trip < 3; trip++) {
    pressed.value = `nothing#${Math.random()}`
    await until(() => pressed.value == '' && [window.cameWith, echo.data.number[0]].includes(beat.data.number[0]))
  }
}
"""
