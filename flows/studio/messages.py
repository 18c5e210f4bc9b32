"""One line that says what goes on: what was done, what is being worked at, what is wrong and what to do about it."""

from collections.abc import Callable
from html import escape
from typing import Literal, Protocol

from bokeh.models import Div

from tasks.model.errors import ApertureError

WORDS = {"info": "", "done": "Done", "working": "Working", "warning": "Mind", "error": "Error"}
"""What each kind of message begins with: the kind is never told by colour alone."""

Kind = Literal["info", "done", "working", "warning", "error"]


class Speaker(Protocol):
    """A desk that says something: its last message, and who is told when there is a new one."""

    @property
    def message(self) -> tuple[Kind, str]:
        """Kind and text."""
        ...

    def watch(self, topic: Literal["message"], callback: Callable[[], None], /) -> None:
        """Have `callback` called at a new message."""
        ...


def told(error: ApertureError) -> str:
    """Return an error as a message: what is wrong, and on the second line what to do."""
    return str(error)


def message_html(kind: str, text: str) -> str:
    """Return a message as HTML; the first line says what is so, the others what to do about it."""
    first, _, rest = text.partition("\n")
    word = f"<b>{WORDS[kind]}.</b> " if WORDS[kind] else ""
    advice = f' <span class="advice">{escape(rest)}</span>' if rest else ""
    return f"{word}{escape(first)}{advice}" + ('<span class="bar"></span>' if kind == "working" else "")


def messages_panel(desk: Speaker) -> Div:
    """Return the line of status; a screen reader speaks it."""
    line = Div(
        name="message",
        sizing_mode="stretch_width",
        css_classes=["message", "info"],
        html_attributes={"role": "status", "aria-live": "polite", "aria-label": "Message"},
    )

    def show() -> None:
        kind, text = desk.message
        line.text = message_html(kind, text)
        line.css_classes = ["message", kind]

    desk.watch("message", show)
    show()
    return line
