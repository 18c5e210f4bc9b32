"""The window on a rotation series: frames with predicted spots, the mask drawn on the detector, the strip of frames."""

import threading
from functools import partial
from html import escape
from typing import Any

from bokeh.document import Document
from bokeh.layouts import column, row
from bokeh.models import Button, Div, RadioButtonGroup, Row, Slider

from flows.studio.keys import BY_ACTION, Action, Keyboard, help_panel, shown
from flows.studio.messages import messages_panel
from flows.studio.pulse import Pulse
from flows.studio.rotation_desk import LARGEST_RADIUS_PX, MASK_TOOLS, RotationDesk
from flows.studio.rotation_picture import DetectorPicture
from flows.studio.rotation_strip import FrameStrip
from flows.studio.sketch import Mode, Tool
from flows.studio.theme import Look
from tasks.drawing import FrameImage, Stretch
from tasks.model import SourceError

IMAGES: tuple[FrameImage, ...] = ("frame", "mean", "maximum", "minimum")
STRETCHES: tuple[Stretch, ...] = ("log", "sqrt", "linear")
MODES: tuple[Mode, ...] = ("add", "remove")
PLAY_MS = 350
"""Between frames while playing. Chosen, not measured: three a second are followed by eye."""
SIDE_PX = 330
"""Width of the controls. Chosen, not measured: it leaves two thirds of 1280 px to the detector."""
HIGHEST_PX = 720
"""Of the detector. Chosen, not measured: with the strip it fits a screen of 1080 px."""
FASTER = 1.4
"""By which a key makes the brush larger or smaller. Chosen, not measured: two presses double it."""


def build_rotation(doc: Document, desk: RotationDesk) -> Pulse:
    """Fill the page of one browser session on a rotation series; return what sends its updates."""
    keyboard = Keyboard(doc, say=desk.say)
    look = Look(doc, keyboard)
    pulse = Pulse(doc)
    picture = DetectorPicture(desk, pulse)
    picture.layout.update(max_width=_widest(desk.scene.shape))
    side = column(
        *_viewing(doc, desk, keyboard, picture),
        *_drawing(desk, keyboard),
        *_keeping(desk, keyboard),
        width=SIDE_PX,
        name="controls",
    )
    keys, shown_keys = help_panel(keyboard)
    root = column(
        row(_title(desk), keys, look.switch, sizing_mode="stretch_width"),
        messages_panel(desk),
        shown_keys,
        row(picture.layout, side, sizing_mode="stretch_width", css_classes=["wraps"]),
        _stepping(doc, desk, keyboard),
        FrameStrip(desk).plot,
        look.hidden,
        keyboard.hidden,
        sizing_mode="stretch_width",
        name="rotation",
    )
    look.dress(root)
    root.stylesheets = [*root.stylesheets, look.page_sheet()]
    doc.title = f"{desk.scene.manifest.sample} - apertura"
    for one in (root, pulse.beat, pulse.echo):
        doc.add_root(one)
    pulse.flush()
    return pulse


def _widest(shape: tuple[int, int]) -> int:
    """Return the width at which a detector is as high as `HIGHEST_PX`."""
    return round(HIGHEST_PX * shape[1] / shape[0])


def _title(desk: RotationDesk) -> Div:
    manifest, angles = desk.scene.manifest, desk.scene.angle_deg
    said = f"{manifest.detector.name}, {len(angles)} frames, {angles.min():.1f}° to {angles.max():.1f}°"
    text = f'<h2>{escape(manifest.sample)} <span class="soft">{escape(said)}</span></h2>'
    return Div(text=text, sizing_mode="stretch_width")


def _viewing(
    doc: Document, desk: RotationDesk, keyboard: Keyboard, picture: DetectorPicture
) -> list[Div | Row | RadioButtonGroup]:
    """Return the controls of what is looked at; what all frames have in common is found in a thread."""
    images = RadioButtonGroup(labels=["Frame", "Mean", "Largest", "Smallest"], active=0, name="image")
    scales = RadioButtonGroup(labels=["Log", "Square root", "Linear"], active=0, name="stretch")

    def look_at_all(name: FrameImage) -> None:
        try:
            desk.scene.over_all()
        except SourceError as error:
            text = f"{error.message}\n{error.advice}"
            doc.add_next_tick_callback(lambda: desk.say(text, "error"))
            return
        doc.add_next_tick_callback(lambda: _shown(desk, name))

    def choose(active: int) -> None:
        name = IMAGES[active]
        if name == "frame" or desk.scene.summed:
            desk.choose_image(name)
            return
        desk.say(f"reading all {len(desk.scene.frames)} frames once", "working")
        threading.Thread(target=look_at_all, args=(name,), daemon=True).start()

    images.on_change("active", lambda _attr, _old, new: choose(new))
    scales.on_change("active", lambda _attr, _old, new: desk.choose_stretch(STRETCHES[new]))
    keyboard.bind("image", lambda: _next(images))
    keyboard.bind("stretch", lambda: _next(scales))
    switches = (
        ("spots", picture.switch_spots, "Spots"),
        ("rings", picture.switch_rings, "Rings"),
        ("masked", picture.switch_mask, "Mask"),
        ("reset view", picture.whole, "Whole"),
    )
    buttons = [_button(keyboard, action, do, label) for action, do, label in switches]
    buttons[0].disabled = desk.scene.spots is None
    return [_head("Look at", "image"), images, _head("Brightness", "stretch"), scales, row(*buttons, width=SIDE_PX)]


def _drawing(desk: RotationDesk, keyboard: Keyboard) -> list[Div | Row | RadioButtonGroup | Slider]:
    """Return the tools that draw the mask."""
    halves = [_tools(desk, keyboard, MASK_TOOLS[:4]), _tools(desk, keyboard, MASK_TOOLS[4:])]
    mode = RadioButtonGroup(labels=["Mask what it covers", "Free what it covers"], active=0, name="mode")
    size = Slider(
        start=0.5, end=LARGEST_RADIUS_PX / 2, step=0.5, value=desk.brush_radius, title="Brush radius / px", name="brush"
    )
    mode.on_change("active", lambda _attr, _old, new: desk.choose_mode(MODES[new]))
    size.on_change("value", lambda _attr, _old, new: desk.choose_brush_radius(new))
    for index, one in enumerate(MODES):
        keyboard.bind(one, partial(mode.update, active=index))
    keyboard.bind("cancel", desk.cancel)
    keyboard.bind("smaller", lambda: size.update(value=max(size.start, desk.brush_radius / FASTER)))
    keyboard.bind("larger", lambda: size.update(value=min(size.end, desk.brush_radius * FASTER)))
    count = Div(name="masked")
    steps = (("undo", desk.undo), ("redo", desk.redo), ("clear", desk.clear), ("finish", desk.finish))
    labels = {"clear": "Clear all", "finish": "Close polygon"}
    buttons = {action: _button(keyboard, action, do, labels.get(action)) for action, do in steps}

    def show() -> None:
        buttons["undo"].disabled = not desk.can_undo
        buttons["redo"].disabled = not desk.can_redo
        buttons["clear"].disabled = not desk.mask.any()
        buttons["finish"].disabled = desk.sketch is None or not desk.sketch.live
        share = 100.0 * desk.mask.mean()
        count.text = f"{int(desk.mask.sum())} px masked ({share:.2f} % of the detector)" + (
            ', <b class="warn">not saved</b>' if desk.unsaved else ""
        )

    desk.watch("mask", show)
    show()
    head = _head("Mask: not to be used", None)
    return [head, *halves, mode, size, row(*buttons.values(), width=SIDE_PX), count]


def _tools(desk: RotationDesk, keyboard: Keyboard, tools: tuple[Tool, ...]) -> RadioButtonGroup:
    """Return some of the tools as buttons; the one in hand stands out."""
    group = RadioButtonGroup(labels=[BY_ACTION[tool].label for tool in tools], active=None, name=f"tools {tools[0]}")

    def take(active: int | None) -> None:
        if active is not None and tools[active] != desk.tool:
            desk.choose_tool(tools[active])

    def show() -> None:
        group.active = tools.index(desk.tool) if desk.tool in tools else None

    group.on_change("active", lambda _attr, _old, new: take(new))
    for tool in tools:
        keyboard.bind(tool, partial(desk.choose_tool, tool))
    desk.watch("tool", show)
    show()
    return group


def _keeping(desk: RotationDesk, keyboard: Keyboard) -> list[Div | Button]:
    """Return the button that saves, and what is to be done with what it saved."""
    said = Div(name="saved", width=SIDE_PX)

    def save() -> None:
        if (saved := desk.save()) is not None:
            said.text = (
                f"<p>Saved: <b>{saved.masked_px}</b> px in <code>{escape(str(saved.mask))}</code></p>"
                f"<p>In <code>detector</code> of the manifest: <code>{escape(saved.line)}</code></p>"
            )
            desk.changed("mask")

    button = keyboard.button("save", save, button_type="primary")
    button.label = "Save the mask"
    button.disabled = desk.work is None
    return [button, said]


def _stepping(doc: Document, desk: RotationDesk, keyboard: Keyboard) -> Row:
    """Return the controls that choose a frame."""
    last = len(desk.scene.frames) - 1
    slider = Slider(
        start=0, end=max(last, 1), value=desk.frame, step=1, title="", show_value=False, sizing_mode="stretch_width"
    )
    said = Div(name="which frame", width=SIDE_PX)
    playing: list[Any] = []

    def show() -> None:
        one = desk.scene.frames[desk.frame]
        slider.value = desk.frame
        spots = "" if desk.scene.spots is None else f", {len(desk.scene.spots.on(desk.frame).frame)} spots predicted"
        said.text = (
            f"<b>{one.angle_deg:.2f}°</b> frame {one.number} <span class='soft'>{escape(one.source)}{spots}</span>"
        )

    def play() -> None:
        if playing:
            doc.remove_periodic_callback(playing.pop())
        else:
            playing.append(doc.add_periodic_callback(lambda: desk.choose_frame((desk.frame + 1) % (last + 1)), PLAY_MS))
        buttons[2].label = "Stop" if playing else "Play"

    steps = (
        ("first tilt", lambda: desk.choose_frame(0)),
        ("previous tilt", lambda: desk.choose_frame(desk.frame - 1)),
        ("play", play),
        ("next tilt", lambda: desk.choose_frame(desk.frame + 1)),
        ("last tilt", lambda: desk.choose_frame(last)),
    )
    buttons = [keyboard.button(action, do) for action, do in steps]
    slider.on_change("value", lambda _attr, _old, new: None if new == desk.frame else desk.choose_frame(int(new)))
    desk.watch("frame", show)
    show()
    return row(*buttons, slider, said, sizing_mode="stretch_width", css_classes=["wraps"])


def _button(keyboard: Keyboard, action: str, do: Action, label: str | None) -> Button:
    button = keyboard.button(action, do)
    button.label = label or button.label
    return button


def _head(text: str, action: str | None) -> Div:
    key = "" if action is None else f" <kbd>{escape(shown(action))}</kbd>"
    return Div(text=f"<h2>{escape(text)}{key}</h2>")


def _next(group: RadioButtonGroup) -> None:
    group.active = ((group.active or 0) + 1) % len(group.labels)


def _shown(desk: RotationDesk, name: FrameImage) -> None:
    desk.say("")
    desk.choose_image(name)
