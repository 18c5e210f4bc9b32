"""What fails in the studio is said, and blocks nothing that is done next."""

import logging

import pytest
from bokeh.document import Document
from bokeh.events import ButtonClick, PanEnd, PanStart

from flows.studio.faults import contained
from flows.studio.keys import Keyboard
from flows.studio.plane import empty_plane, on_gestures
from tasks.model import InputError


class Page:
    """A line of messages, and an action that fails."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.keyboard = Keyboard(Document(), say=self.say)

    def say(self, text: str, kind: str) -> None:
        self.said.append((kind, text))


def fail() -> None:
    raise RuntimeError("the moon is full")


@pytest.fixture
def page() -> Page:
    return Page()


def test_a_key_whose_action_fails_leaves_the_keyboard_free(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []
    page.keyboard.bind("judge", fail)
    page.keyboard.bind("save", lambda: done.append("saved"))
    with caplog.at_level(logging.ERROR):
        page.keyboard.hidden.value = "judge#1"
    assert page.keyboard.hidden.value == ""
    page.keyboard.hidden.value = "save#2"
    assert done == ["saved"]
    ((kind, text),) = page.said
    assert kind == "error"
    assert text.startswith("Judge failed by a fault of the program")
    assert "the moon is full" in text
    assert caplog.records[0].exc_info is not None  # the log has where it was


def test_a_click_whose_action_fails_is_told_as_a_key_is(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    button = page.keyboard.button("solve", fail)
    with caplog.at_level(logging.CRITICAL):
        button._trigger_event(ButtonClick(button))
    assert [kind for kind, _ in page.said] == ["error"]


def test_an_error_with_advice_is_told_as_it_stands(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> None:
        raise InputError("the disk is full", "make room, and save again")

    contained("Save", refuse, page.say)()
    assert page.said == [("error", str(InputError("the disk is full", "make room, and save again")))]
    assert caplog.records == []


def test_a_stroke_that_fails_at_its_beginning_can_end(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    plot = empty_plane((4, 4), name="plane", label="Plane")
    ended: list[tuple[float, float]] = []
    on_gestures(
        plot,
        begin=lambda _point, _event: fail(),
        go_on=lambda _point, _event: None,
        end=lambda point, _event: ended.append(point),
        hover=lambda _point: None,
        say=page.say,
    )
    with caplog.at_level(logging.CRITICAL):
        plot._trigger_event(PanStart(plot, x=1.0, y=2.0))
        plot._trigger_event(PanEnd(plot, x=3.0, y=2.0))
    assert ended == [(2.0, 3.0)]
    assert len(page.said) == 1
