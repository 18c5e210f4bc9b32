"""Long work of the studio in a process of its own: its answer, its errors, its end."""

import threading

import psutil
import pytest

from flows.studio.work_process import StoppedError, in_own_process
from tasks.model import NotIndexedError, ProgramFailedError
from tests.synthetic.studio_work import dies, doubled, never_ends, refuses


def ignored(_text):
    """Hear nothing."""


def test_work_tells_and_answers():
    heard = []
    assert in_own_process(doubled, 21, tell=heard.append, stop=threading.Event()) == 42
    assert heard == ["doubling 21"]


def test_a_typed_error_comes_through_with_its_advice():
    with pytest.raises(NotIndexedError, match="no lattice") as error:
        in_own_process(refuses, "no lattice", tell=ignored, stop=threading.Event())
    assert error.value.advice == "draw more"


def test_a_process_that_dies_is_an_error_and_no_hang():
    with pytest.raises(ProgramFailedError, match="died"):
        in_own_process(dies, None, tell=ignored, stop=threading.Event())


def test_work_that_is_stopped_leaves_no_process():
    stop, heard = threading.Event(), []

    def hear(text):
        heard.append(int(text))
        stop.set()

    with pytest.raises(StoppedError):
        in_own_process(never_ends, None, tell=hear, stop=stop)
    assert not psutil.pid_exists(heard[0])
