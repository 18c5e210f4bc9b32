"""A fault of the program in what a control does: logged, told on the page, and everything else goes on."""

import logging
from collections.abc import Callable
from typing import Any

from flows.studio.messages import Kind, told
from tasks.model.errors import ApertureError

log = logging.getLogger(__name__)

Say = Callable[[str, Kind], None]


def fault_text(what: str, error: BaseException) -> str:
    """Return what is said of an error that no one foresaw."""
    return f"{what} failed by a fault of the program: {error!r}\nthe drawing is untouched; the studio's log has more"


def unheard(_text: str, _kind: Kind) -> None:
    """Say nothing: where there is no line of messages."""


def contained(what: str, do: Callable[..., object], say: Say) -> Callable[..., None]:
    """Return `do` so that no error leaves it: an event that raises would leave the page waiting for its end."""

    def call(*given: Any) -> None:
        try:
            do(*given)
        except ApertureError as error:
            say(told(error), "error")
        except Exception as error:
            log.exception("%s failed: a bug", what)
            say(fault_text(what, error), "error")

    return call
