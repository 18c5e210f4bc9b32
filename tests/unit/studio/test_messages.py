"""The line of status: never by colour alone, never as HTML of somebody else."""

import pytest

from flows.studio.messages import message_html, messages_panel, told
from tasks.model import InputError


class Speaker:
    def __init__(self) -> None:
        self.message = ("info", "")
        self.watching = []

    def watch(self, topic: str, callback: object) -> None:
        assert topic == "message"
        self.watching.append(callback)

    def say(self, text: str, kind: str) -> None:
        self.message = (kind, text)
        for callback in self.watching:
            callback()


def test_an_error_says_what_is_wrong_and_then_what_to_do() -> None:
    html = message_html("error", told(InputError("a.h5: no space left on the disk", "make room, and save again")))
    assert html.startswith("<b>Error.</b> a.h5: no space left on the disk")
    assert '<span class="advice">make room, and save again</span>' in html


@pytest.mark.parametrize("kind", ["done", "working", "warning", "error"])
def test_the_kind_is_told_in_a_word(kind: str) -> None:
    assert message_html(kind, "x").startswith("<b>")


def test_a_name_cannot_bring_html() -> None:
    assert "<img" not in message_html("info", "crystal <img src=x onerror=alert(1)>\n<img>")


def test_the_line_follows_what_is_said() -> None:
    speaker = Speaker()
    line = messages_panel(speaker)
    speaker.say("integrating 12 of 81 tilts", "working")
    assert "integrating 12 of 81 tilts" in line.text
    assert line.css_classes == ["message", "working"]
    assert line.html_attributes["role"] == "status"
