"""What can be chosen in the studio, what is told, and where choices begin."""

from collections.abc import Callable
from typing import Any, Literal, get_args

Topic = Literal["tilt", "drawing", "pattern", "image", "crystal", "message", "tool", "detector", "view"]
Stretch = Literal["log", "sqrt", "linear"]
STRETCHES: tuple[Stretch, ...] = get_args(Stretch)
MessageKind = Literal["info", "done", "working", "warning", "error"]
DETECTOR_IMAGE = "virtual detector"
"""The name of the image that the virtual detector makes, beside those of the scene."""
BRUSH_RADIUS, SMALLEST_BRUSH, LARGEST_BRUSH = 2.0, 0.5, 64.0
"""Of the brush, in positions, at first, at least (one position) and at most. Chosen, not measured: five positions
across suit a scan of 64."""
LIKENESS = 0.7
"""From which on `grow` takes a position, at first: its own default, with the measurement beside it."""

SHOWABLE = ("regions", "rings", "spots", "masked")
"""What lies upon the images and can be hidden."""

Spots = Callable[[str, int], list[tuple[float, float, int, int, int]]]
"""Crystal and tilt to the spots that the run indexed there: (slow, fast, h, k, l)."""


RunBehind = Callable[[object, Callable[[], Any], Callable[[Any], None]], None]
"""Key, what to make, and who is given it or the error: for what takes seconds. A page makes it in a thread."""


def at_once(_key: object, make: Callable[[], Any], then: Callable[[Any], None]) -> None:
    """Make it in the caller's turn, as where there is no page."""
    try:
        made = make()
    except ValueError as error:
        then(error)
    else:
        then(made)


class Watchers:
    """Who wants to be told of what."""

    def __init__(self) -> None:
        self._callbacks: dict[Topic, list[Callable[[], None]]] = {topic: [] for topic in get_args(Topic)}

    def watch(self, topic: Topic, callback: Callable[[], None]) -> None:
        """Have `callback` called whenever what `topic` names has changed."""
        self._callbacks[topic].append(callback)

    def changed(self, *topics: Topic) -> None:
        """Call who watches these topics."""
        for topic in topics:
            for callback in tuple(self._callbacks[topic]):
                callback()
