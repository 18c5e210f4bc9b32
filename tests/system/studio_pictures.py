"""Makes pictures of the studio in each of its states, by a browser in front of the real window.

    python -m tests.system.studio_pictures OUT [--demo FOLDER] [--rotation SOURCE] [--rotation-run RUN]

FOLDER is what `apertura demo --out FOLDER` makes; it is made, in some minutes, where it is not there. Of a rotation
series, the pictures are of SOURCE, or of a small one that is made up. README.png is the one for the README.
"""

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from flows.demo import run_demo
from tests.synthetic.rotation_folder import rotation_folder
from tests.system.studio_driver import Window, polygon, studio

WIDE, USUAL, ZOOMED = (1920, 1080), (1280, 960), (640, 900)
"""Windows; that of 640 px is one of 1280 px at 200 % zoom."""
JUDGEMENT_MS = 900_000
"""For a judgement: 20 s on a quiet machine; nothing is to be lost on one that has much else to do."""
README_COLOURS = 256
"""Of the picture for a page: as many as a palette holds. With 128 the colours of the regions are seen to change."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--demo", type=Path, default=Path("apertura-demo"))
    parser.add_argument("--rotation", type=Path)
    parser.add_argument("--rotation-run", type=Path)
    parser.add_argument("--only", choices=("source", "run", "rotation"), default=None)
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    os.environ["LOGNAME"] = "ada"  # or the name of who makes the pictures is in them
    work = Path(tempfile.mkdtemp(prefix="apertura-pictures-"))
    if not (asked.demo / "run" / "results.json").is_file() and asked.only != "rotation":
        run_demo(asked.demo)
    if asked.only in {None, "rotation"}:
        of_rotation(
            asked.rotation_run or asked.rotation or rotation_folder(work / "data"), work / "rotation", asked.out
        )
    if asked.only in {None, "run"}:
        of_run(asked.demo / "run", work / "run", asked.out)
    if asked.only in {None, "source"}:
        of_source(asked.demo / "source", work / "source", asked.out)
    shutil.rmtree(work, ignore_errors=True)


def of_source(source: Path, work: Path, out: Path) -> None:
    """Make pictures of a series that nothing was drawn on, of a hand that draws, and of the next start after it."""
    with windows(source, work, (48, 48)) as (window, _):
        keep(window, out / "empty.png")
        window.press("f")
        window.drag(*polygon(centre=(19.0, 30.0), radius=7.0)[:12], hold=True)
        window.settle()
        keep(window, out / "drawing.png")
        window.page.mouse.up()
        window.settle()
    with windows(source, work, (48, 48)) as (window, _):
        window.says("Your unsaved drawing")
        keep(window, out / "recovery.png")


def of_run(run: Path, work: Path, out: Path) -> None:
    """Make pictures of the proposals of a run, of judging, of what was saved, dark, wide and narrow."""
    with windows(run, work, (48, 48)) as (window, page):
        window.press("ArrowDown")
        choose_image(window, "Bragg")
        keep(window, out / "proposals.png")
        small(out / "proposals.png", out / "README.png")
        window.press("b")
        window.drag((26.0, 40.0), (30.0, 40.0))
        window.settle()
        keep(window, out / "brushed.png")
        window.press("j")
        window.says("CC½", wait_ms=JUDGEMENT_MS)
        window.settle()
        keep(window, out / "judge.png")
        page.set_viewport_size({"width": WIDE[0], "height": WIDE[1]})
        window.settle()
        keep(window, out / "wide.png")
        window.press("Control+s")
        keep(window, out / "saved.png")
        page.set_viewport_size({"width": USUAL[0], "height": USUAL[1]})
        window.press("d")
        keep(window, out / "dark.png")
        window.press("d", "?")
        keep(window, out / "keys.png")
        window.press("?")
        page.set_viewport_size({"width": ZOOMED[0], "height": ZOOMED[1]})
        window.settle()
        page.screenshot(path=out / "narrow.png", full_page=True)


def of_rotation(place: Path, work: Path, out: Path) -> None:
    """Make pictures of a rotation series with a mask that is drawn and saved."""
    with windows(place, work, (1, 1), plot="Detector") as (window, _):
        keep(window, out / "rotation.png")
        window.press("b")
        window.drag((0.0, 0.0), (0.05, 0.1), (0.05, 0.35))
        window.press("Control+s")
        keep(window, out / "rotation-saved.png")
        window.press("d")
        keep(window, out / "rotation-dark.png")


@contextmanager
def windows(
    place: Path, work: Path, shape: tuple[int, int], *, plot: str = "Real space"
) -> Iterator[tuple[Window, Any]]:
    """Open a studio on a place, and a browser in front of it."""
    from playwright.sync_api import sync_playwright

    with studio(place, work=work) as served, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": USUAL[0], "height": USUAL[1]})
        window = Window(page, served.address, shape, plot=plot)
        window.settle()
        yield window, page
        for wrong in (*window.wrong, *window.elsewhere):
            print(f"{place.name}: {wrong}")
        chromium.close()


def choose_image(window: Window, name: str) -> None:
    """Choose the image of real space, and wait until it is made."""
    window.page.get_by_label("Image", exact=True).select_option(name)
    window.settle()
    window.page.get_by_text("making the").wait_for(state="hidden")
    window.settle()


def keep(window: Window, path: Path) -> None:
    """Make a picture of what is seen."""
    window.settle()
    window.page.screenshot(path=path)
    print(path)


def small(picture: Path, path: Path) -> None:
    """Write a picture with a palette, for a page."""
    Image.open(picture).convert("RGB").quantize(README_COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


if __name__ == "__main__":
    main()
