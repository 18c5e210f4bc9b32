"""The working state of one browser session: what is looked at and what is drawn. It knows no Bokeh.

Everything that a control of the window does is a method here. What is dear to compute (`live_mask`, `pattern`,
`shown_image`) is computed when it is asked for: a pointer that moves only leaves its points behind, and the window asks
as often as it can show.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from flows.studio import choices
from flows.studio.carry_over import CarriedOver, CarryOver, carried_text
from flows.studio.current_sum import CurrentSum
from flows.studio.detector_hold import DetectorShape
from flows.studio.edits import Seed, crystal_at, pieces_apart, position_at, with_area
from flows.studio.sketch import BRUSHES, Mask, Mode, Point, Sketch, Strokes, Tool, combined
from tasks.drawing import Drawing, DrawingCrystal, History, Scene, VirtualDetector, likeness_of, region_like
from tasks.model import ScienceError


class Desk(Strokes):
    """One person's working state.

    `spots` gives the indexed spots of a run, if it has some.
    """

    def __init__(self, scene: Scene, drawing: Drawing | None = None, *, spots: choices.Spots | None = None) -> None:
        self.scene = scene
        self.history = History(drawing if drawing is not None else Drawing(crystals=()))
        self.spots = spots
        self.tilt = int(np.argmin(np.abs(np.asarray(scene.tilt_deg))))
        self.crystal: str | None = None
        self.tool: Tool = "freehand"
        self.mode: Mode = "replace"
        self.image = scene.image_names[0]
        self.detector: VirtualDetector | None = None
        self.detector_shape: DetectorShape = "disc"
        self.drags_detector = False
        self.shown: frozenset[str] = frozenset(choices.SHOWABLE)
        self.views = 0
        self.stretch: choices.Stretch = "log"
        self.brush_radius = choices.BRUSH_RADIUS
        self.likeness = choices.LIKENESS
        self.message: tuple[choices.MessageKind, str] = ("info", "")
        self.sketch: Sketch | None = None
        self.run_behind: choices.RunBehind = choices.at_once
        self._carry = CarryOver(scene)
        self._seed: Seed | None = None
        self._watchers = choices.Watchers()
        self.watch, self.changed = self._watchers.watch, self._watchers.changed
        self._sum = CurrentSum(scene)

    def say(self, text: str, kind: choices.MessageKind = "info") -> None:
        """Show a message."""
        self.message = (kind, text)
        self.changed("message")

    # ---- what is shown

    @property
    def drawing(self) -> Drawing:
        """The drawing as it stands, without the shape in the making."""
        return self.history.now

    @property
    def selected(self) -> DrawingCrystal | None:
        """The crystal that is worked on."""
        return next((one for one in self.drawing.crystals if one.id == self.crystal), None)

    @property
    def live_mask(self) -> Mask:
        """The positions (ny, nx) of the current aperture at this tilt, with the shape in the making."""
        if self.sketch is not None and self.sketch.live:
            return self.sketch.mask()
        found = self.selected
        return np.zeros(self.scene.scan_shape, dtype=bool) if found is None else found.mask(self.tilt)

    @property
    def pattern(self) -> NDArray[np.uint32]:
        """The exact sum over the current aperture, (slow, fast); over all positions while there is none."""
        mask = self.live_mask
        return self._sum.of(self.tilt, mask if mask.any() else np.ones_like(mask))

    @property
    def electrons(self) -> int:
        """The electrons in `pattern`: every one counted."""
        return int(self.pattern.sum(dtype=np.uint64))

    @property
    def shown_image(self) -> NDArray[np.float32]:
        """The image of real space that is chosen, (ny, nx)."""
        return self.image_maker()()

    def image_maker(self) -> Callable[[], NDArray[np.float32]]:
        """Return what makes the image that is chosen now, whatever is chosen meanwhile: it may take seconds."""
        if self.image == choices.DETECTOR_IMAGE and self.detector is not None:
            return partial(self.scene.detector_image, self.tilt, self.detector)
        reference = {"reference": self.live_mask.copy()} if self.image == "misorientation" else {}
        return partial(self.scene.image, self.tilt, self.image, **reference)

    @property
    def image_names(self) -> tuple[str, ...]:
        """The images that can be chosen; that of the virtual detector once there is one."""
        return (*self.scene.image_names, *((choices.DETECTOR_IMAGE,) if self.detector is not None else ()))

    # ---- choosing

    def choose_tilt(self, tilt: int) -> None:
        """Show another tilt, the nearest there is."""
        tilt = min(max(tilt, 0), len(self.scene.tilt_deg) - 1)
        if tilt != self.tilt:
            self.finish()
            self._let_go()
            self.tilt = tilt
            self.changed("tilt", "image", "drawing", "pattern")

    def choose_crystal(self, crystal: str | None) -> None:
        """Work on a crystal; None: what is drawn next is a new one."""
        if crystal != self.crystal:
            self.finish()
            self._let_go()
            self.crystal = crystal if crystal in self.drawing.ids else None
            self.changed("crystal", "pattern")

    def choose_tool(self, tool: Tool) -> None:
        """Take another tool; an unfinished shape is finished first."""
        self.finish()
        self.tool = tool
        self._let_go()
        self.changed("tool")

    def choose_mode(self, mode: Mode) -> None:
        """Let shapes replace, add to or take from the aperture."""
        self.mode = mode
        self.changed("tool")

    def choose_brush_radius(self, radius: float) -> None:
        """Make the brush larger or smaller, in positions."""
        self.brush_radius = min(max(radius, choices.SMALLEST_BRUSH), choices.LARGEST_BRUSH)
        self.changed("tool")

    def choose_image(self, name: str) -> None:
        """Show another image of real space."""
        if name in self.image_names:
            self.image = name
            self.changed("image")

    def choose_stretch(self, stretch: choices.Stretch) -> None:
        """Show the pattern on another scale of brightness."""
        self.stretch = stretch
        self.changed("view")

    def choose_likeness(self, likeness: float) -> None:
        """Grow with another likeness; an aperture just grown is grown anew."""
        self.likeness = min(max(likeness, 0.0), 1.0)
        self.changed("tool")
        if self._seed is not None:
            seed, self._seed = self._seed, None
            self.history.undo()
            self.crystal = seed.target
            self._take(seed)

    # ---- drawing

    def begin_stroke(self, point: Point, *, reach: float = 1.0, mode: Mode | None = None) -> None:
        """Begin at a point of the scan: hold the handle within reach, or start a shape.

        `mode` is that of this shape alone, in place of the chosen one.
        """
        if self.tool in {"move", "select", "grow"}:
            return
        sketch = self.sketch
        goes_on = sketch is not None and sketch.tool == self.tool and (
            sketch.handle_at(point, reach) is not None or (self.tool == "polygon" and not sketch.closed)
        )  # fmt: skip
        if sketch is None or not goes_on:
            sketch = self._begun(mode or self.mode)
            if sketch is None:
                return
        self.sketch = sketch
        sketch.begin(point, reach)
        self.changed("pattern")

    def tap(self, point: Point, *, reach: float = 1.0, mode: Mode | None = None) -> None:
        """Click at a point: choose the crystal there, grow from there, dab with the brush, or put a corner."""
        if self.tool == "select":
            self.choose_crystal(self.crystal_at(point))
        elif self.tool == "grow":
            self._grow(point, self.crystal, mode or self.mode)
        elif self.tool == "polygon" and self.sketch is not None and self.sketch.closes_at(point, reach):
            self.finish()
        elif self.tool == "polygon" or self.tool in BRUSHES:
            self.begin_stroke(point, reach=reach, mode=mode)
            self.end_stroke()

    def finish(self) -> None:
        """Close the polygon in the making; one of fewer than three corners is dropped."""
        sketch = self.sketch
        if sketch is None or not sketch.live:
            return
        if len(sketch.points) >= 3 or sketch.tool != "polygon":
            self._commit(sketch)
        else:
            self.cancel()

    def cancel(self) -> None:
        """Drop the shape in the making, or its handles when it was drawn already."""
        self._let_go()
        self.changed("pattern", "drawing")

    def undo(self) -> None:
        """Take back the last corner of a polygon in the making, or the last change of the drawing."""
        sketch = self.sketch
        if sketch is not None and sketch.take_back():
            self.changed("pattern")
        elif sketch is not None and sketch.live:
            self.cancel()
        else:
            self._went(self.history.undo(), "There is nothing to undo.")

    def redo(self) -> None:
        """Do again what was undone last."""
        self._went(self.history.redo(), "There is nothing to do again.")

    def do(self, what: str, drawing: Drawing, *, crystal: str | None = None) -> None:
        """Put a changed drawing in place of the last one, `what` says in words what was changed; select `crystal`."""
        self._let_go()
        self.history.do(what, drawing)
        if crystal is not None:
            self.crystal = crystal
        self._renewed()

    def split_pieces(self) -> None:
        """Make crystals of the pieces that do not touch at this tilt."""
        crystal = self.crystal
        if crystal is None:
            self.say("Select the crystal first that is to be split.", "warning")
        else:
            self._split(lambda: pieces_apart(self.drawing, crystal, self.tilt), "split into its pieces")

    def copy_to_all_tilts(self) -> None:
        """Carry the mask of this tilt to all others; what the crystal has there is replaced."""
        found = self.selected
        if found is None or not found.mask(self.tilt).any():
            self.say("Draw the crystal at this tilt first, or select one that has positions here.", "warning")
            return
        self.finish()
        self.say("Carrying the mask to all tilts ...", "working")
        mask, tilt = found.mask(self.tilt), self.tilt
        self.run_behind((found.id, tilt), lambda: self._carry.all_tilts(found.id, mask, tilt), self._carried)

    def _carried(self, made: CarriedOver | Exception) -> None:
        if isinstance(made, Exception):
            self.say(f"The mask was not carried: {made}", "error")
        elif made.crystal in self.drawing.ids:
            masks = self.drawing.with_masks(made.crystal, made.carried.masks)
            self.do(f"{made.crystal}: carried to all tilts", masks)
            self.say(carried_text(made.carried, self.scene.tilt_deg), "done")

    def crystal_at(self, point: Point) -> str | None:
        """Return the crystal at a point, the smallest of several; None if there is none."""
        position = position_at(point, self.scene.scan_shape)
        return None if position is None else crystal_at(self.drawing, self.tilt, position)

    # ---- the virtual detector

    def drag_detector(self, *, drags: bool) -> None:
        """Let dragging on the pattern place the virtual detector, or move the view."""
        self.drags_detector = drags
        self.changed("view")

    def choose_detector_shape(self, shape: DetectorShape) -> None:
        """Draw the next detector as a disc, ring or rectangle."""
        self.detector_shape = shape
        self.changed("view")

    def place_detector(self, detector: VirtualDetector | None) -> None:
        """Put the virtual detector somewhere; the image of real space is then what it sees."""
        self.detector = detector
        self.image = self.scene.image_names[0] if detector is None else choices.DETECTOR_IMAGE
        self.changed("detector", "image")

    def show(self, name: str, *, shown: bool) -> None:
        """Show or hide what lies upon the images, one of `choices.SHOWABLE`."""
        self.shown = self.shown | {name} if shown else self.shown - {name}
        self.changed("view")

    def reset_view(self) -> None:
        """Show both spaces whole again."""
        self.views += 1
        self.changed("view")

    # ---- inside

    def _begun(self, mode: Mode) -> Sketch | None:
        found = self.selected
        if found is None and (mode == "remove" or self.tool in {"cut", "eraser"}):
            self.say("Select the crystal first that is to be changed.", "warning")
            return None
        self._let_go()
        base = np.zeros(self.scene.scan_shape, dtype=bool) if found is None else found.mask(self.tilt)
        return Sketch(self.tool, base, mode=mode, radius=self.brush_radius, target=self.crystal, tilt=self.tilt)

    def _sketched(self) -> None:
        self.changed("pattern")

    def _commit(self, sketch: Sketch) -> None:
        """Put the shape into the drawing; one with handles stays at hand."""
        sketch.rest()
        again = sketch.closed
        self.sketch = None
        target = sketch.target
        if sketch.tool == "cut" and target is not None:
            line = (sketch.points[0], sketch.points[1])
            self._split(lambda: self.drawing.split(target, self.tilt, line=line), "cut in two")
            return
        if self._put(target, sketch.mask(), "reshaped" if again else sketch.tool):
            sketch.target = self.crystal
            sketch.closed = True
            self.sketch = sketch if sketch.handles else None
        self._renewed()

    def _put(self, target: str | None, mask: Mask, how: str) -> bool:
        """Give a crystal, or a new one, this mask at this tilt; return whether that changed the drawing."""
        tilts = self.scene.tilt_deg
        drawing, crystal = with_area(self.drawing, target, self.tilt, mask, tilts=len(tilts))
        if not self.history.do(f"{crystal} at {tilts[self.tilt]:.1f}\u00b0: {how}", drawing):
            return False
        if self.crystal != crystal:
            self.crystal = crystal
            self.changed("crystal")
        return True

    def _split(self, split: Callable[[], Drawing], how: str) -> None:
        """Split the crystal, or say why not."""
        try:
            drawing = split()
        except ValueError as error:
            self.say(f"Not split: {error}", "warning")
            self._renewed()
        else:
            self.do(f"{self.crystal}: {how}", drawing)

    def _grow(self, seed: Point, target: str | None, mode: Mode) -> None:
        """Grow from a point, or say why nothing grows there."""
        position = position_at(seed, self.scene.scan_shape)
        if position is None:
            return
        self._let_go()
        try:
            like = likeness_of(self.scene, self.tilt, position)
        except ScienceError as error:
            self.say(str(error), "warning")
        else:
            found = self.selected
            base = np.zeros(self.scene.scan_shape, dtype=bool) if found is None else found.mask(self.tilt)
            self._take(Seed(position, like, target, base, mode))

    def _take(self, seed: Seed) -> None:
        """Put what grows from a seed into the drawing, for as much likeness as is chosen now."""
        area = region_like(seed.like, seed.position, self.likeness)
        if self._put(seed.target, combined(seed.base, area, seed.mode), "grown"):
            self._seed = seed
        self._renewed()

    def _went(self, step: str | None, nothing: str) -> None:
        """Show the drawing after a step back or forth, or say that there was none."""
        if step is None:
            self.say(nothing)
        else:
            self._let_go()
            self._renewed()

    def _let_go(self) -> None:
        self.sketch = None
        self._seed = None

    def _renewed(self) -> None:
        if self.crystal is not None and self.selected is None:
            self.crystal = None
            self.changed("crystal")
        self.changed("drawing", "pattern")
