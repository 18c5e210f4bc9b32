"""Keys: none twice, each does what its button does, and the page of keys shows what is bound."""

from collections import Counter

import pytest
from bokeh.document import Document
from bokeh.events import ButtonClick

from flows.studio.keys import KEYS, Keyboard, help_panel, help_text, shown


def test_no_key_and_no_label_is_there_twice() -> None:
    assert [key for key, count in Counter(key.key for key in KEYS).items() if count > 1] == []
    assert [label for label, count in Counter(key.label for key in KEYS).items() if count > 1] == []
    assert all(key.label and key.key for key in KEYS)


def test_a_key_does_what_a_click_does() -> None:
    keyboard = Keyboard(Document())
    done: list[str] = []
    button = keyboard.button("undo", lambda: done.append("undone"))
    keyboard.hidden.value = "undo#1"
    assert keyboard.hidden.value == ""  # the browser may send the next
    button._trigger_event(ButtonClick(button))
    assert done == ["undone", "undone"]


@pytest.mark.parametrize("state", [{"disabled": True}, {"visible": False}])
def test_the_key_of_a_button_that_cannot_be_pressed_does_nothing(state: dict[str, bool]) -> None:
    keyboard = Keyboard(Document())
    done: list[str] = []
    button = keyboard.button("save", lambda: done.append("saved"))
    button.update(**state)
    keyboard.hidden.value = "save#1"
    assert done == []


def test_a_key_that_nothing_is_bound_to_does_nothing() -> None:
    keyboard = Keyboard(Document())
    keyboard.hidden.value = "judge#1"
    assert keyboard.hidden.value == ""


def test_an_action_that_the_list_lacks_cannot_be_bound() -> None:
    with pytest.raises(KeyError, match="paint the moon"):
        Keyboard(Document()).bind("paint the moon", lambda: None)


def test_a_button_says_its_key() -> None:
    button = Keyboard(Document()).button("copy to all", lambda: None)
    assert button.label == "Copy to all tilts"
    assert button.html_attributes["title"].endswith("(C)")


@pytest.mark.parametrize(
    ("action", "key"), [("undo", "Ctrl Z"), ("less alike", "-"), ("play", "Space"), ("more alike", "+"), ("help", "?")]
)
def test_keys_are_named_as_on_a_keyboard(action: str, key: str) -> None:
    assert shown(action) == key


def test_the_page_of_keys_has_what_is_bound_and_nothing_else() -> None:
    keyboard = Keyboard(Document())
    keyboard.bind("judge", lambda: None)
    _, panel = help_panel(keyboard)
    assert not panel.visible
    keyboard.hidden.value = "help#1"
    assert panel.visible
    text = help_text(keyboard.bound)
    assert "<kbd>J</kbd>" in text
    assert "<kbd>?</kbd>" in text
    assert "Polygon" not in text
    keyboard.hidden.value = "help#2"
    assert not panel.visible
