"""`apertura draw` says what is wrong before it serves anything."""

from pathlib import Path

import pytest

from flows.studio.draw import draw
from flows.studio.server import listen
from tasks.model import SettingsError, SourceError


def opened(folder: Path, port: int | None) -> None:
    draw(folder, port=port, browser=False, work=None, apertures=None, say=print, tell=print)


def test_a_port_that_is_taken_is_said_before_the_folder_is_read(tmp_path: Path) -> None:
    (one,), port = listen(None)
    with one, pytest.raises(SettingsError, match=f"--port {port}: taken by another program"):
        opened(tmp_path / "absent", port)


def test_a_folder_that_is_none_or_holds_nothing_is_said_and_the_port_is_free_again(tmp_path: Path) -> None:
    (one,), port = listen(None)
    one.close()
    for folder, message in ((tmp_path / "absent", "no such folder"), (tmp_path, "holds neither")):
        with pytest.raises(SourceError, match=message):
            opened(folder, port)
    listen(port)[0][0].close()
