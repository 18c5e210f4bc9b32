"""The tools: with what is drawn, how it changes the aperture, and what is shown."""

from typing import Literal, get_args

from bokeh.layouts import column
from bokeh.models import Button, Div, LayoutDOM, RadioButtonGroup, Slider, Toggle

from flows.studio.choices import LARGEST_BRUSH, SHOWABLE, SMALLEST_BRUSH
from flows.studio.desk import Desk
from flows.studio.detector_hold import DetectorShape
from flows.studio.keys import BY_ACTION, shown
from flows.studio.sketch import BRUSHES, MODES, TOOLS

DETECTOR_SHAPES: tuple[DetectorShape, ...] = get_args(DetectorShape)


def tools_panel(desk: Desk) -> LayoutDOM:
    """Return the column of tools."""
    return column(
        Div(text="<h2>Draw</h2>"),
        _choice(desk, "tool", TOOLS, "Tool"),
        Div(text="<h2>A shape will</h2>"),
        _choice(desk, "mode", MODES, "What a shape does"),
        *_sliders(desk),
        *_detector(desk),
        *_shown(desk),
        width=180,
        name="tools",
    )


def _choice(desk: Desk, name: Literal["tool", "mode"], options: tuple[str, ...], label: str) -> RadioButtonGroup:
    """Return the group of buttons for the tools or the modes."""
    group = RadioButtonGroup(
        labels=[labelled(option) for option in options],
        active=options.index(getattr(desk, name)),
        orientation="vertical",
        name=name,
        sizing_mode="stretch_width",
        html_attributes={"aria-label": label},
    )
    choose = {"tool": desk.choose_tool, "mode": desk.choose_mode}[name]
    group.on_change("active", lambda _attr, _old, new: choose(options[new]))  # type: ignore[operator]
    desk.watch("tool", lambda: group.update(active=options.index(getattr(desk, name))))
    return group


def labelled(action: str) -> str:
    """Return the label of an action with the key that does it."""
    return f"{BY_ACTION[action].label} ({shown(action)})"


def _sliders(desk: Desk) -> tuple[Slider, Slider]:
    """Return the sizes of the brush and of likeness, each of use to its tools only."""
    brush = Slider(
        title=f"Brush, positions ({shown('smaller')} {shown('larger')})",
        start=SMALLEST_BRUSH,
        end=LARGEST_BRUSH,
        step=0.5,
        value=desk.brush_radius,
        name="brush size",
        sizing_mode="stretch_width",
    )
    likeness = Slider(
        title=f"Likeness ({shown('less alike')} {shown('more alike')})",
        start=0.0,
        end=1.0,
        step=0.01,
        value=desk.likeness,
        name="likeness",
        sizing_mode="stretch_width",
    )
    brush.on_change("value", lambda _attr, _old, new: desk.choose_brush_radius(new))
    likeness.on_change("value_throttled", lambda _attr, _old, new: desk.choose_likeness(new))

    def tell() -> None:
        brush.update(value=desk.brush_radius, visible=desk.tool in BRUSHES)
        likeness.update(value=desk.likeness, visible=desk.tool == "grow")

    desk.watch("tool", tell)
    tell()
    return brush, likeness


def _detector(desk: Desk) -> tuple[LayoutDOM, ...]:
    """Return the switch of the virtual detector and its shapes."""
    switch = Toggle(
        label=labelled("detector"), active=desk.drags_detector, name="detector", sizing_mode="stretch_width"
    )
    switch.on_change("active", lambda _attr, _old, new: desk.drag_detector(drags=new))
    shape = RadioButtonGroup(
        labels=[one.capitalize() for one in DETECTOR_SHAPES],
        active=DETECTOR_SHAPES.index(desk.detector_shape),
        name="detector shape",
        orientation="vertical",
        sizing_mode="stretch_width",
        html_attributes={"aria-label": f"Shape of the detector ({shown('detector shape')})"},
    )
    shape.on_change("active", lambda _attr, _old, new: desk.choose_detector_shape(DETECTOR_SHAPES[new]))

    def tell() -> None:
        switch.active = desk.drags_detector
        shape.update(active=DETECTOR_SHAPES.index(desk.detector_shape), visible=desk.drags_detector)

    desk.watch("view", tell)
    tell()
    return Div(text="<h2>Pattern</h2>"), switch, shape


def _shown(desk: Desk) -> tuple[LayoutDOM, ...]:
    """Return the switches of what lies upon the images, and the button that shows them whole."""
    switches = {
        name: Toggle(label=labelled(name), active=name in desk.shown, name=f"show {name}", sizing_mode="stretch_width")
        for name in SHOWABLE
    }
    for name, switch in switches.items():
        switch.on_change("active", lambda _attr, _old, new, name=name: desk.show(name, shown=new))
    whole = Button(label=labelled("reset view"), name="reset view", sizing_mode="stretch_width")
    whole.on_click(lambda _event: desk.reset_view())

    def tell() -> None:
        for name, switch in switches.items():
            switch.active = name in desk.shown

    desk.watch("view", tell)
    return Div(text="<h2>Show</h2>"), *switches.values(), whole
