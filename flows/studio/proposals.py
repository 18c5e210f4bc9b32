"""The crystals: taken, edited, split, merged, rejected, renamed; undone and done again."""

from collections.abc import Callable
from html import escape

import numpy as np
from bokeh.layouts import column, row
from bokeh.models import Button, Column, CustomJS, Div, Row, Select, TextInput, UIElement
from bokeh.models.dom import HTML

from flows.studio.desk import Desk
from flows.studio.keys import Keyboard
from flows.studio.regions import label
from flows.studio.theme import region_colour
from tasks.drawing import Drawing, DrawingCrystal

STATES = {"open": "", "accepted": "taken", "rejected": "left out"}
"""What is said of a crystal that a person has judged."""

FOCUS = "Bokeh.index.find_one(cb_obj)?.shadow_el.querySelector('input')?.select()"

Dress = Callable[[UIElement], object]


def line_html(crystal: DrawingCrystal, tilt: int) -> str:
    """Return one crystal of the list as HTML: number, name, state; tilts and positions."""
    positions = crystal.positions_per_tilt
    state = ", ".join(word for word in (crystal.origin, STATES[crystal.state]) if word)
    seen = sum(count > 0 for count in positions)
    counts = f"{seen} of {len(positions)} tilts · {positions[tilt]:,} positions here, {sum(positions):,} in all"
    return (
        f'<span class="crystal-line"><b>{escape(label(crystal))}</b><span>{state}</span></span>'
        f'<small class="soft">{counts}</small>'
    )


class Proposals:
    """The list of crystals and what can be done to the chosen one."""

    def __init__(self, desk: Desk, keyboard: Keyboard, dress: Dress) -> None:
        self._desk = desk
        self._dress = dress
        self._lines: dict[str, Button] = {}
        self._shown: dict[str, str] = {}
        self._silent = False
        self.list = column(name="crystals", sizing_mode="stretch_width", spacing=3)
        self.empty = Div(
            text='<p class="soft">No crystal yet: draw around one on the image, or press New.</p>',
            name="no crystals",
            sizing_mode="stretch_width",
        )
        self._dress(self.empty)
        self.list.children = [self.empty]  # Bokeh warns of a column that has none
        self.name = TextInput(
            title="Name of the crystal", name="crystal name", max_length=60, sizing_mode="stretch_width"
        )
        self.name.on_change("value", lambda _attr, _old, new: self._rename(new))
        self.name.js_on_change("tags", CustomJS(code=FOCUS))
        self.other = Select(title="Merge with", name="merge with", sizing_mode="stretch_width")
        button = keyboard.button
        self.new = button("new", self.add)
        self.undo = button("undo", desk.undo)
        self.redo = button("redo", desk.redo)
        self.of_chosen = {
            "accept": button("accept", lambda: self.judge_state("accepted")),
            "reject": button("reject", lambda: self.judge_state("rejected")),
            "rename": button("rename", self.begin_rename),
            "split": button("split", self.split),
            "clear": button("clear", self.clear),
            "delete": button("delete", self.delete, button_type="danger"),
            "copy to all": button("copy to all", self.copy_to_all),
        }
        self.merge = button("merge", self.merge_with)
        keyboard.bind("next crystal", lambda: self.step(1))
        keyboard.bind("previous crystal", lambda: self.step(-1))
        desk.watch("drawing", self.show)
        desk.watch("crystal", self.show)
        desk.watch("tilt", self.show)
        self.show()

    def layout(self) -> Column:
        """Return the panel."""
        of = self.of_chosen
        return column(
            Div(text="<h2>Crystals</h2>"),
            self._row(self.new, self.undo, self.redo),
            self.list,
            self.name,
            self._row(of["accept"], of["reject"], of["rename"], of["split"]),
            row(self.other, self.merge, sizing_mode="stretch_width", css_classes=["low"]),
            self._row(of["copy to all"], of["clear"], of["delete"]),
            name="proposals",
            sizing_mode="stretch_width",
        )

    @staticmethod
    def _row(*buttons: Button) -> Row:
        return row(*buttons, css_classes=["buttons"], sizing_mode="stretch_width")

    # ---- what is shown

    def show(self) -> None:
        """Show the drawing as it stands."""
        desk, crystals = self._desk, self._desk.history.now.crystals
        if tuple(self._lines) != tuple(one.id for one in crystals):
            self._lines = {one.id: self._lines.get(one.id) or self._line(one.id) for one in crystals}
            self._shown = {name: text for name, text in self._shown.items() if name in self._lines}
            self.list.children = list(self._lines.values()) or [self.empty]
        for one in crystals:
            self._show_line(self._lines[one.id], one)
        chosen = self.chosen
        for control in (*self.of_chosen.values(), self.name):
            control.disabled = chosen is None
        self._silent = True
        self.name.value = chosen.label if chosen is not None else ""
        self._silent = False
        self._show_merge(crystals, chosen)
        self.undo.disabled = not desk.history.can_undo
        self.redo.disabled = not desk.history.can_redo
        self.of_chosen["accept"].label = "Taken" if chosen is not None and chosen.state == "accepted" else "Take"
        self.of_chosen["reject"].label = "Left out" if chosen is not None and chosen.state == "rejected" else "Reject"

    def _show_line(self, line: Button, one: DrawingCrystal) -> None:
        text = line_html(one, self._desk.tilt)
        if self._shown.get(one.id) != text:
            line.label = HTML(html=[text])
            self._shown[one.id] = text
        chosen = ["chosen"] if one.id == self._desk.crystal else []
        classes = ["crystal", *chosen, *(["rejected"] if one.state == "rejected" else [])]
        if line.css_classes != classes:
            line.css_classes = classes
            line.html_attributes = {
                "title": f"Work on {one.label}",
                **({"aria-current": "true"} if chosen else {}),
            }

    def _show_merge(self, crystals: tuple[DrawingCrystal, ...], chosen: DrawingCrystal | None) -> None:
        others = [] if chosen is None else [(one.id, one.label) for one in crystals if one.id != chosen.id]
        if self.other.options != others:
            self.other.options = others
        if self.other.value not in {name for name, _ in others}:
            self.other.value = others[0][0] if others else ""
        self.other.disabled = self.merge.disabled = not others

    def _line(self, name: str) -> Button:
        line = Button(
            label=name,
            name=f"line {name}",
            sizing_mode="stretch_width",
            css_classes=["crystal"],
            styles={"--region": region_colour(name)},
        )
        line.on_click(lambda _event: self._desk.choose_crystal(name))
        self._dress(line)
        return line

    # ---- what can be done

    @property
    def chosen(self) -> DrawingCrystal | None:
        """The crystal that is worked on."""
        return next((one for one in self._desk.history.now.crystals if one.id == self._desk.crystal), None)

    def step(self, by: int) -> None:
        """Choose the next crystal of the list, or the one before; from the end to the beginning."""
        names = [one.id for one in self._desk.history.now.crystals]
        if names:
            here = names.index(self._desk.crystal) if self._desk.crystal in names else -1 if by > 0 else 0
            self._desk.choose_crystal(names[(here + by) % len(names)])

    def add(self) -> None:
        """Let what is drawn next be a new crystal."""
        self._desk.choose_crystal(None)
        self._desk.say("Draw around a crystal: it becomes a new one.")

    def judge_state(self, state: str) -> None:
        """Take the chosen crystal, or leave it out; a second time: open again."""
        if (one := self.chosen) is None:
            return
        new = "open" if one.state == state else state
        words = {"accepted": "taken", "rejected": "left out", "open": "open again"}
        self._do(f"{one.label}: {words[new]}", self._desk.history.now.with_state(one.id, new))  # type: ignore[arg-type]

    def begin_rename(self) -> None:
        """Put the cursor into the field of the name."""
        if self.chosen is not None:
            self.name.tags = [len(self.name.tags) + 1, *self.name.tags[:1]]  # the browser is told of what differs

    def split(self) -> None:
        """Make the separate pieces of the chosen crystal at this tilt crystals of their own, at all tilts."""
        if self.chosen is not None:
            self._desk.split_pieces()

    def merge_with(self) -> None:
        """Give the chosen crystal all positions of the other, which is then gone."""
        one, other = self.chosen, self.other.value
        if one is None or not other:
            return
        label = next(two.label for two in self._desk.history.now.crystals if two.id == other)
        self._do(f"{one.label}: merged with {label}", self._desk.history.now.merged([one.id, other]))

    def copy_to_all(self) -> None:
        """Carry the mask of this tilt to all others."""
        if self.chosen is not None:
            self._desk.copy_to_all_tilts()

    def clear(self) -> None:
        """Take all positions of this tilt away from the chosen crystal."""
        if (one := self.chosen) is None:
            return
        empty = np.zeros(self._desk.scene.scan_shape, dtype=bool)
        at = f"{self._desk.scene.tilt_deg[self._desk.tilt]:.1f}°"
        self._do(f"{one.label} at {at}: cleared", self._desk.history.now.with_mask(one.id, self._desk.tilt, empty))

    def delete(self) -> None:
        """Take the chosen crystal off the list."""
        if (one := self.chosen) is not None:
            self._do(f"{one.label}: deleted", self._desk.history.now.without(one.id))

    def _rename(self, new: str) -> None:
        one = self.chosen
        if self._silent or one is None or new.strip() == one.label:
            return
        self._do(f"{one.label}: named {new.strip() or one.id}", self._desk.history.now.renamed(one.id, new))

    def _do(self, what: str, drawing: Drawing) -> None:
        self._desk.do(what, drawing)
        self._desk.say(f"{what}.", "done")


def proposals_panel(desk: Desk, keyboard: Keyboard, dress: Dress) -> Column:
    """Return the list of crystals; `dress` gives the style sheet to a line that is made later."""
    return Proposals(desk, keyboard, dress).layout()
