"""What one person does with a rotation series: the frame looked at, the mask drawn on the detector. Knows no Bokeh.

As at the desk of a tilt series, `live_mask` is computed when it is asked for: a pointer that moves leaves its points.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from flows.studio.messages import Kind
from flows.studio.rotation_opening import OpenedRotation
from flows.studio.rotation_saving import SavedMask, UnsavedMask, save_mask
from flows.studio.sketch import BRUSHES, Mask, Mode, Point, Sketch, Strokes, Tool
from tasks.drawing import FrameImage, Stretch
from tasks.model import ApertureError, SourceError

RotationTopic = Literal["frame", "mask", "tool", "message"]
MASK_TOOLS: tuple[Tool, ...] = ("move", "brush", "eraser", "freehand", "polygon", "rectangle", "ellipse")
"""Tools of the studio that make sense on a detector."""
MOST_STEPS = 200
"""Of undo. Chosen, not measured: 200 masks of 2048 x 2048 px take 100 MiB as bits."""
RADIUS_PX, LARGEST_RADIUS_PX = 6.0, 200.0
"""Of the brush, at first and at most. Chosen, not measured: a spot is 3 to 8 px wide, and what is wider than 400 px is
drawn as a rectangle or an ellipse."""

GREETING = (
    "Draw what is not to be used of the detector: a beam stop, a shadow, a bad block. Save makes a mask file of it."
)


class RotationDesk(Strokes):
    """The working state of one browser session on a rotation series.

    Parameters
    ----------
    work
        Folder for saved masks, and for what is not saved yet; None: this person may look and draw, not save.
    who
        Name kept with what is saved.
    """

    def __init__(self, opened: OpenedRotation, work: Path | None, *, who: str) -> None:
        self.opened = opened
        self.scene = opened.scene
        self.work = work
        self.who = who
        self.frame = len(opened.scene.frames) // 2
        self.image: FrameImage = "frame"
        self.stretch: Stretch = "log"
        self.tool: Tool = "brush"
        self.mode: Mode = "add"
        self.brush_radius = RADIUS_PX
        self.mask: Mask = opened.mask
        self.message: tuple[Kind, str] = ("info", " ".join(opened.notes) or GREETING)
        self.saved: SavedMask | None = None
        self.sketch: Sketch | None = None
        self._saved_mask = opened.mask
        self._past: list[tuple[str, NDArray[np.uint8]]] = []
        self._future: list[tuple[str, NDArray[np.uint8]]] = []
        self._watching: dict[RotationTopic, list[Callable[[], None]]] = {topic: [] for topic in get_args(RotationTopic)}
        self._unsaved = None if work is None else UnsavedMask(work, opened.document)
        self._take_up_unsaved()

    # ---- telling

    def watch(self, topic: RotationTopic, callback: Callable[[], None]) -> None:
        """Have `callback` called whenever what `topic` names has changed."""
        self._watching[topic].append(callback)

    def changed(self, *topics: RotationTopic) -> None:
        """Call who watches these topics."""
        for topic in topics:
            for callback in tuple(self._watching[topic]):
                callback()

    def say(self, text: str, kind: Kind = "info") -> None:
        """Show a message."""
        self.message = (kind, text)
        self.changed("message")

    # ---- looking

    @property
    def shown(self) -> NDArray[np.float32]:
        """What is looked at, (slow, fast) in electrons; NaN throughout where the frame cannot be read, and it is said.

        Of all frames it is what was last computed, see `look_at_all`.
        """
        try:
            return self.scene.image(self.frame, self.image)
        except SourceError as error:
            self.say(str(error), "error")
            return np.full(self.scene.shape, np.nan, dtype=np.float32)

    def choose_frame(self, index: int) -> None:
        """Look at another frame; beyond the ends the last one stays."""
        self.frame = min(max(index, 0), len(self.scene.frames) - 1)
        self.changed("frame")

    def choose_image(self, name: FrameImage) -> None:
        """Look at the frame, or at what all frames have in common."""
        self.image = name
        self.changed("frame")

    def choose_stretch(self, stretch: Stretch) -> None:
        """Show intensities on another scale of brightness."""
        self.stretch = stretch
        self.changed("frame")

    # ---- drawing

    @property
    def live_mask(self) -> Mask:
        """The mask (slow, fast) with the shape in the making, True = not to be used."""
        return self.sketch.mask() if self.sketch is not None and self.sketch.live else self.mask

    def choose_tool(self, tool: Tool) -> None:
        """Take another tool; a polygon in the making is closed first."""
        self.finish()
        self.sketch = None
        self.tool = tool
        self.changed("tool", "mask")

    def choose_mode(self, mode: Mode) -> None:
        """Let shapes mask what they cover, or free it."""
        self.finish()
        self.sketch = None
        self.mode = mode
        self.changed("tool", "mask")

    def choose_brush_radius(self, radius_px: float) -> None:
        """Make the brush larger or smaller."""
        self.brush_radius = min(max(radius_px, 0.5), LARGEST_RADIUS_PX)
        self.changed("tool")

    def begin_stroke(self, point: Point, *, reach: float = 1.0, mode: Mode | None = None) -> None:
        """Press at a point of the detector: hold the corner within reach, set one more, or start a shape.

        `mode` is that of this shape alone.
        """
        if self.tool not in MASK_TOOLS or self.tool == "move":
            return
        sketch = self.sketch
        waits = sketch is not None and sketch.tool == "polygon" and not sketch.closed
        if sketch is None or not (waits or sketch.handle_at(point, reach) is not None):
            sketch = Sketch(
                self.tool, self.mask, mode=mode or self.mode, radius=self.brush_radius, target=None, tilt=self.frame
            )
        self.sketch = sketch
        sketch.begin(point, reach)
        self.changed("mask")

    def tap(self, point: Point, *, reach: float = 1.0, mode: Mode | None = None) -> None:
        """Click at a point: dab with the brush, put a corner, or close the polygon at its first one."""
        sketch = self.sketch
        waits = self.tool == "polygon" and sketch is not None and not sketch.closed and len(sketch.points) > 2
        if waits and sketch is not None and sketch.handle_at(point, reach) == 0:
            self.finish()
        elif self.tool == "polygon" or self.tool in BRUSHES:
            self.begin_stroke(point, reach=reach, mode=mode)
            self.end_stroke()

    def finish(self) -> None:
        """Close the polygon in the making; one of fewer than three corners is dropped."""
        sketch = self.sketch
        if sketch is None or not sketch.live:
            return
        if sketch.tool == "polygon" and len(sketch.points) < 3:
            self.cancel()
        else:
            self._commit(sketch)

    def cancel(self) -> None:
        """Drop the shape in the making, or its corners when it was taken already."""
        self.sketch = None
        self.changed("mask")

    def clear(self) -> None:
        """Mask nothing."""
        self.sketch = None
        self._change("cleared the mask", np.zeros_like(self.mask))

    def undo(self) -> None:
        """Drop the shape in the making, or take the last change back."""
        if self.sketch is not None and self.sketch.live:
            self.cancel()
        elif self._past:
            self.sketch = None
            what, before = self._past.pop()
            self._future.append((what, np.packbits(self.mask)))
            self._set(before)
            self.say(f"Undone: {what}.")

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        if self._future:
            self.sketch = None
            what, after = self._future.pop()
            self._past.append((what, np.packbits(self.mask)))
            self._set(after)
            self.say(f"Done again: {what}.")

    @property
    def can_undo(self) -> bool:
        """Whether there is something to take back."""
        return bool(self._past) or (self.sketch is not None and self.sketch.live)

    @property
    def can_redo(self) -> bool:
        """Whether something was taken back."""
        return bool(self._future)

    @property
    def changes(self) -> tuple[str, ...]:
        """What was done to the mask, in words, as far as it can be undone."""
        return tuple(what for what, _ in self._past)

    # ---- keeping

    @property
    def unsaved(self) -> bool:
        """Whether the mask differs from what was opened, or saved last."""
        return not np.array_equal(self.mask, self._saved_mask)

    def save(self) -> SavedMask | None:
        """Save the mask in a new folder; None, with a message, where that fails: the mask stays as it is."""
        self.finish()
        if self.work is None or self._unsaved is None:
            self.say("Your role may look, not save.", "warning")
            return None
        try:
            saved = save_mask(self.mask, self.opened.document, self.work, changes=self.changes, who=self.who)
        except (ApertureError, OSError) as error:
            self.say(f"Not saved: {error}", "error")
            return None
        self.saved, self._saved_mask = saved, self.mask
        self._unsaved.forget()
        self.say(f"Saved: {saved.masked_px} pixels in {saved.mask}. {saved.advice}", "done")
        return saved

    def _sketched(self) -> None:
        self.changed("mask")

    def _commit(self, sketch: Sketch) -> None:
        """Take the shape into the mask; one with corners stays at hand, to be reshaped."""
        sketch.rest()
        verb = "reshaped the" if sketch.closed else "freed by" if sketch.mode == "remove" else "masked by"
        sketch.closed = True
        self.sketch = sketch if sketch.handles else None
        self._change(f"{verb} {sketch.tool}", sketch.mask())

    def _change(self, what: str, mask: Mask) -> None:
        if np.array_equal(mask, self.mask):
            self.changed("mask")
            return
        self._past = [*self._past, (what, np.packbits(self.mask))][-MOST_STEPS:]
        self._future = []
        self._set(np.packbits(mask))

    def _set(self, packed: NDArray[np.uint8]) -> None:
        bits = np.unpackbits(packed, count=self.mask.size)
        self.mask = bits.astype(bool).reshape(self.mask.shape)
        self.changed("mask")
        if self._unsaved is not None and (problem := self._unsaved.keep(self.mask)) is not None:
            self.say(problem, "warning")

    def _take_up_unsaved(self) -> None:
        found = None if self._unsaved is None else self._unsaved.found(self.mask.shape)
        if found is not None and not np.array_equal(found, self.mask):
            self._past = [("took up what was not saved", np.packbits(self.mask))]
            self.mask = found
            self.message = ("info", "Taken up: what was drawn and not saved before. Undo takes it back.")
