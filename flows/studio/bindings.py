"""The keys of what the desk itself does: tools, what shapes do, what is shown."""

from functools import partial
from typing import TypeVar, get_args

from flows.studio.choices import SHOWABLE, STRETCHES
from flows.studio.desk import Desk
from flows.studio.detector_hold import DetectorShape
from flows.studio.errands import Errands
from flows.studio.keys import Keyboard
from flows.studio.sketch import MODES, TOOLS

T = TypeVar("T")

BRUSH_STEP = 1.25
"""By which a key makes the brush larger or smaller. Chosen, not measured: three presses double it."""
LIKENESS_STEP = 0.05
"""By which a key changes the likeness of what is grown. Chosen, not measured: a twentieth of its scale."""


def bind_desk(keyboard: Keyboard, desk: Desk, errands: Errands | None) -> None:
    """Bind the keys of drawing and looking."""
    for tool in TOOLS:
        keyboard.bind(tool, partial(desk.choose_tool, tool))
    for mode in MODES:
        keyboard.bind(mode, partial(desk.choose_mode, mode))
    for name in SHOWABLE:
        keyboard.bind(name, partial(_switch, desk, name))
    keyboard.bind("smaller", lambda: desk.choose_brush_radius(desk.brush_radius / BRUSH_STEP))
    keyboard.bind("larger", lambda: desk.choose_brush_radius(desk.brush_radius * BRUSH_STEP))
    keyboard.bind("less alike", lambda: desk.choose_likeness(desk.likeness - LIKENESS_STEP))
    keyboard.bind("more alike", lambda: desk.choose_likeness(desk.likeness + LIKENESS_STEP))
    keyboard.bind("finish", desk.finish)
    keyboard.bind("cancel", partial(_cancel, desk, errands))
    keyboard.bind("image", lambda: desk.choose_image(_next(desk.image_names, desk.image)))
    keyboard.bind("stretch", lambda: desk.choose_stretch(_next(STRETCHES, desk.stretch)))
    keyboard.bind("detector", lambda: desk.drag_detector(drags=not desk.drags_detector))
    keyboard.bind(
        "detector shape", lambda: desk.choose_detector_shape(_next(get_args(DetectorShape), desk.detector_shape))
    )
    keyboard.bind("reset view", desk.reset_view)


def _switch(desk: Desk, name: str) -> None:
    desk.show(name, shown=name not in desk.shown)


def _cancel(desk: Desk, errands: Errands | None) -> None:
    """Drop the shape in the making; without one, stop what is going on."""
    if desk.sketch is None and errands is not None:
        errands.stop()
    else:
        desk.cancel()


def _next(all_of_them: tuple[T, ...], now: T) -> T:
    here = all_of_them.index(now) if now in all_of_them else -1
    return all_of_them[(here + 1) % len(all_of_them)]
