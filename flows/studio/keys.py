"""Every control of the studio has a label and a key: this is the list, the keyboard, and the page that shows it."""

from collections.abc import Callable, Mapping
from html import escape
from itertools import groupby
from typing import NamedTuple

from bokeh.document import Document
from bokeh.events import DocumentReady
from bokeh.layouts import column
from bokeh.models import Button, Column, CustomJS, Div, TextInput, Toggle

from flows.studio.faults import Say, contained, unheard

Action = Callable[[], object]


class Key(NamedTuple):
    """One thing that can be done, and the key that does it, named as in the browser's ``KeyboardEvent.key``."""

    action: str
    key: str
    label: str
    group: str
    what: str = ""


KEYS = (
    Key("select", "q", "Select", "Draw", "click a crystal to work on it"),
    Key("move", "h", "Move the view", "Draw", "drag; the wheel zooms"),
    Key("freehand", "f", "Freehand", "Draw", "draw around positions"),
    Key("polygon", "p", "Polygon", "Draw", "click corners, drag them afterwards"),
    Key("rectangle", "r", "Rectangle", "Draw", "drag from corner to corner"),
    Key("ellipse", "o", "Ellipse", "Draw", "drag from corner to corner of its box"),
    Key("brush", "b", "Brush", "Draw", "add positions"),
    Key("eraser", "e", "Eraser", "Draw", "take positions away"),
    Key("grow", "g", "Grow", "Draw", "click: connected positions with a pattern like it"),
    Key("cut", "t", "Cut", "Draw", "draw a line that divides the crystal"),
    Key("smaller", "[", "Smaller brush", "Draw"),
    Key("larger", "]", "Larger brush", "Draw"),
    Key("less alike", "-", "Less alike", "Draw", "grow further"),
    Key("more alike", "+", "More alike", "Draw", "grow less far"),
    Key("replace", "1", "Shapes replace", "Draw"),
    Key("add", "2", "Shapes add", "Draw"),
    Key("remove", "3", "Shapes take away", "Draw"),
    Key("finish", "Enter", "Finish the shape", "Draw"),
    Key("cancel", "Escape", "Drop the shape", "Draw", "or stop judging and solving"),
    Key("undo", "Ctrl+z", "Undo", "Draw"),
    Key("redo", "Ctrl+y", "Redo", "Draw"),
    Key("previous crystal", "ArrowUp", "Previous crystal", "Crystals"),
    Key("next crystal", "ArrowDown", "Next crystal", "Crystals"),
    Key("new", "n", "New", "Crystals", "what is drawn next is a new crystal"),
    Key("accept", "a", "Take", "Crystals", "use this crystal as it is"),
    Key("reject", "x", "Reject", "Crystals", "leave this crystal out; it stays in the list"),
    Key("rename", "F2", "Rename", "Crystals"),
    Key("split", "s", "Split", "Crystals", "separate pieces become crystals of their own"),
    Key("merge", "m", "Merge", "Crystals", "with the crystal chosen beside it"),
    Key("copy to all", "c", "Copy to all tilts", "Crystals", "carried by drift, foreshortening and rotation"),
    Key("clear", "Backspace", "Clear this tilt", "Crystals", "no position at this tilt"),
    Key("delete", "Delete", "Delete", "Crystals", "take it off the list"),
    Key("previous tilt", "ArrowLeft", "Previous", "Tilts"),
    Key("next tilt", "ArrowRight", "Next", "Tilts"),
    Key("first tilt", "Home", "First", "Tilts"),
    Key("last tilt", "End", "Last", "Tilts"),
    Key("play", " ", "Play", "Tilts", "one tilt after the other; again to stop"),
    Key("image", "i", "Next image", "Look", "counts, bright field, dark field, Bragg, ..."),
    Key("stretch", "l", "Next grey scale", "Look", "log, square root, linear"),
    Key("detector", "v", "Virtual detector", "Look", "drag it on the pattern: it makes the image"),
    Key("detector shape", ",", "Shape of the detector", "Look", "disc, ring, rectangle"),
    Key("regions", "z", "Regions", "Look", "show or hide the crystals on the image"),
    Key("rings", "k", "Resolution rings", "Look", "show or hide"),
    Key("spots", "w", "Indexed spots", "Look", "where the run has them"),
    Key("masked", ".", "Masked pixels", "Look", "show or hide"),
    Key("reset view", "0", "Whole view", "Look"),
    Key("switch scheme", "d", "Light / dark", "Look"),
    Key("help", "?", "Keys", "Look", "this page"),
    Key("judge", "j", "Judge", "Run", "integrate the aperture as drawn, in seconds"),
    Key("stop", "Shift+Escape", "Stop", "Run", "judging or solving"),
    Key("save", "Ctrl+s", "Save", "Run"),
    Key("save copy", "Ctrl+Shift+s", "Save a copy", "Run", "under another name"),
    Key("solve", "Ctrl+Enter", "Solve", "Run", "run the pipeline with the apertures as drawn"),
    Key("accept run", "y", "Accept for the run", "Run", "where a run waits for approval"),
    Key("take up", "u", "Take up", "Run", "the drawing that was not saved"),
    Key("discard", "Shift+u", "Discard", "Run", "the drawing that was not saved"),
)

BY_ACTION: Mapping[str, Key] = {key.action: key for key in KEYS}

SHOWN = {
    "ArrowLeft": "←",
    "ArrowRight": "→",
    "ArrowUp": "↑",
    "ArrowDown": "↓",
    " ": "Space",
    "Escape": "Esc",
    "Delete": "Del",
    "Backspace": "⌫ Backspace",
}

LISTEN = """
// Bokeh has no Python event for keys. Text fields, and widgets that use a key themselves, come first.
const typing = 'input:not([type=checkbox]):not([type=radio]):not([type=button]), textarea, [contenteditable=true]'
document.addEventListener('keydown', event => {
  const target = event.composedPath()[0]
  const letter = event.key.length == 1
  const shifted = event.shiftKey && (!letter || event.key.toLowerCase() != event.key.toUpperCase())
  const name = (event.ctrlKey || event.metaKey ? 'Ctrl+' : '') + (event.altKey ? 'Alt+' : '')
    + (shifted ? 'Shift+' : '') + (letter ? event.key.toLowerCase() : event.key)
  const action = keys[name]
  if (action == null || event.isComposing) return
  const plain = !name.startsWith('Ctrl+')
  if (plain && (!singles.active || target.matches?.(typing))) return
  if ((name == ' ' || name == 'Enter') && target.matches?.('button, [role=button], input, a, summary, select')) return
  if (/^(Arrow|Home|End)/.test(name) && target.matches?.('select, [role=slider], [role=tab]')) return
  event.preventDefault()
  if (event.repeat && pressed.value != '') return
  pressed.value = `${action}#${Date.now()}`
})
"""


def shown(action: str) -> str:
    """Return the key of an action as it is printed on a keyboard."""
    parts = BY_ACTION[action].key.split("+") if len(BY_ACTION[action].key) > 1 else [BY_ACTION[action].key]
    return " ".join(SHOWN.get(part, part.upper() if len(part) == 1 else part) for part in parts)


class Keyboard:
    """Binds keys of `KEYS` to what they do; `hidden` has to stand in the layout.

    An action that fails says so with `say`, and blocks neither the keyboard nor what is done next.
    """

    def __init__(self, doc: Document, *, say: Say = unheard) -> None:
        self._say = say
        self._actions: dict[str, Action] = {}
        self._buttons: dict[str, Button] = {}
        self.hidden = TextInput(name="pressed", visible=False)
        self.hidden.on_change("value", lambda _attr, _old, new: self._pressed(new))
        self.singles = Toggle(
            label="Single keys on",
            active=True,
            name="single keys",
            html_attributes={"title": "Off: only keys with Ctrl work, for those who speak or type into the page"},
        )
        self.singles.on_change("active", self._tell_singles)
        keys = {key.key: key.action for key in KEYS} | {"Ctrl+Shift+z": "redo"}
        doc.js_on_event(
            DocumentReady,
            CustomJS(args={"keys": keys, "pressed": self.hidden, "singles": self.singles}, code=LISTEN),
        )

    @property
    def bound(self) -> frozenset[str]:
        """The actions that a panel has bound."""
        return frozenset(self._actions)

    def bind(self, action: str, do: Action) -> None:
        """Let the key of `action` call `do`; KeyError if `KEYS` does not have it."""
        key = BY_ACTION[action]
        self._actions[key.action] = contained(key.label, do, self._say)

    def button(self, action: str, do: Action, *, button_type: str = "default") -> Button:
        """Return the button of an action, with its label and key; a press of the key does what a click does."""
        key = BY_ACTION[action]
        button = Button(
            label=key.label,
            name=action,
            button_type=button_type,
            html_attributes={"title": f"{key.label}{': ' if key.what else ''}{key.what} ({shown(action)})"},
        )
        self._buttons[action] = button
        self.bind(action, do)
        button.on_click(lambda _event: self._actions[action]())
        return button

    def _pressed(self, told: str) -> None:
        action = told.partition("#")[0]
        if not action:
            return
        button = self._buttons.get(action)
        if action in self._actions and (button is None or (button.visible and not button.disabled)):
            self._actions[action]()
        self.hidden.value = ""

    def _tell_singles(self, _attr: str, _old: object, new: bool) -> None:
        self.singles.label = "Single keys on" if new else "Single keys off"


def help_panel(keyboard: Keyboard) -> tuple[Button, Column]:
    """Return a button, and the page of all keys that something is bound to: hidden until it is pressed."""
    text = Div(text=help_text(keyboard.bound), sizing_mode="stretch_width", name="keys")
    panel = column(
        text,
        keyboard.singles,
        visible=False,
        name="help",
        css_classes=["box"],
        sizing_mode="stretch_width",
    )

    def switch() -> None:
        text.text = help_text(keyboard.bound)
        panel.visible = not panel.visible

    return keyboard.button("help", switch), panel


def help_text(bound: frozenset[str]) -> str:
    """Return the page of keys as HTML: those of `bound` actions, by group."""
    groups = groupby((key for key in KEYS if key.action in bound), key=lambda key: key.group)
    return '<div class="help">' + "".join(_section(name, list(keys)) for name, keys in groups) + "</div>"


def _section(name: str, keys: list[Key]) -> str:
    rows = [
        f"<div><span>{escape(key.label)}"
        + (f' <span class="soft">{escape(key.what)}</span>' if key.what else "")
        + f"</span><kbd>{escape(shown(key.action))}</kbd></div>"
        for key in keys
    ]
    return f"<section><h2>{escape(name)}</h2>{''.join(rows)}</section>"
