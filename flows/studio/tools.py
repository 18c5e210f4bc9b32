"""The tools: with what is drawn, how it changes the aperture, and what is shown."""

from collections.abc import Callable

from bokeh.layouts import column, row
from bokeh.models import Button, Div, LayoutDOM, RadioButtonGroup, Slider, Toggle

from flows.studio.choices import LARGEST_BRUSH, SHOWABLE
from flows.studio.desk import Desk
from flows.studio.sketch import MODES, TOOLS

MODE_LABELS = {"replace": "Replace", "add": "Add", "remove": "Take away"}
DETECTOR_SHAPES = ("disc", "ring", "rectangle")


def tools_panel(desk: Desk) -> LayoutDOM:
    """Return the column of tools."""
    tool = RadioButtonGroup(
        labels=[f"{BY_ACTION[name].label} ({shown(name)})" for name in TOOLS], active=TOOLS.index(desk.tool), orientation="vertical",
        name="tool", sizing_mode="stretch_width", html_attributes={"aria-label": "Tool"},
    )  # fmt: skip
    tool.on_change("active", lambda _attr, _old, new: desk.choose_tool(TOOLS[new]))
    mode = RadioButtonGroup(
        labels=[MODE_LABELS[one] for one in MODES], active=MODES.index(desk.mode), orientation="vertical",
        name="mode", sizing_mode="stretch_width", html_attributes={"aria-label": "What a shape does"},
    )  # fmt: skip
    mode.on_change("active", lambda _attr, _old, new: desk.choose_mode(MODES[new]))
    brush = Slider(
        title="Brush, positions",
        start=0.5,
        end=LARGEST_BRUSH,
        step=0.5,
        value=desk.brush_radius,
        name="brush size",
        sizing_mode="stretch_width",
    )
    brush.on_change("value", lambda _attr, _old, new: desk.choose_brush_radius(new))
    likeness = Slider(
        title="Likeness",
        start=0.0,
        end=1.0,
        step=0.02,
        value=desk.likeness,
        name="likeness",
        sizing_mode="stretch_width",
    )
    likeness.on_change("value_throttled", lambda _attr, _old, new: desk.choose_likeness(new))

    def tell() -> None:
        tool.active, mode.active = TOOLS.index(desk.tool), MODES.index(desk.mode)
        brush.value, likeness.value = desk.brush_radius, desk.likeness
        brush.disabled = desk.tool not in {"brush", "eraser"}
        likeness.disabled = desk.tool != "grow"

    desk.watch("tool", tell)
    tell()
    return column(
        Div(text="<h2>Draw</h2>"), tool, Div(text="<h2>A shape will</h2>"), mode, brush, likeness,
        row(_button("Undo", desk.undo), _button("Redo", desk.redo)), _detector(desk), _shown(desk),
        width=180, name="tools",
    )  # fmt: skip


def _button(label: str, do: Callable[[], object]) -> Button:
    button = Button(label=label, name=label.lower())
    button.on_click(lambda _event: do())
    return button


def _detector(desk: Desk) -> LayoutDOM:
    """Return the switch of the virtual detector and its shapes."""
    switch = Toggle(label="Virtual detector", active=desk.drags_detector, name="detector", sizing_mode="stretch_width")
    switch.on_change("active", lambda _attr, _old, new: desk.drag_detector(drags=new))
    shape = RadioButtonGroup(
        labels=[one.capitalize() for one in DETECTOR_SHAPES], active=DETECTOR_SHAPES.index(desk.detector_shape),
        name="detector shape", sizing_mode="stretch_width", html_attributes={"aria-label": "Shape of the detector"},
    )  # fmt: skip
    shape.on_change("active", lambda _attr, _old, new: desk.choose_detector_shape(DETECTOR_SHAPES[new]))

    def tell() -> None:
        switch.active, shape.disabled = desk.drags_detector, not desk.drags_detector

    desk.watch("view", tell)
    tell()
    return column(Div(text="<h2>Pattern</h2>"), switch, shape, sizing_mode="stretch_width")


def _shown(desk: Desk) -> LayoutDOM:
    """Return the switches of what lies upon the images."""
    switches = {
        name: Toggle(label=label, active=name in desk.shown, name=f"show {name}", sizing_mode="stretch_width")
        for name, label in SHOWABLE.items()
    }
    for name, switch in switches.items():
        switch.on_change("active", lambda _attr, _old, new, name=name: desk.show(name, shown=new))

    def tell() -> None:
        for name, switch in switches.items():
            switch.active = name in desk.shown

    desk.watch("view", tell)
    return column(
        Div(text="<h2>Show</h2>"),
        *switches.values(),
        _button("Whole view", desk.reset_view),
        sizing_mode="stretch_width",
    )
