"""What is written in a manifest or by a person is shown as text: no heading, link, image or HTML comes of it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tasks.model import fenced, plain, visible, visible_lines

READER = MarkdownIt("commonmark", {"html": True}).enable("table")
HOSTILE = [
    "a\n```\n# heading\n![x](http://example.org/x.png)",
    "~~~\n<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "| a | b |\n|---|---|\n| c | d |",
    "<img src=x onerror=alert(1)>",
    "    indented\n\n> quoted\n1. listed\n- listed\n***",
    "http://example.org www.example.org <http://example.org>",
    "&lt;b&gt; \\` \\\\ ``` ```` `",
]
UNSEEN = ["a\x1b[2Jb", "txt\u202eexe.", "zero\u200bwidth", "nul\x00", "line\u2028new", "\ufeffmark", "\x9b31m"]
TEXTS = (
    st.text(max_size=40)
    | st.sampled_from(UNSEEN)
    | st.text(alphabet=st.sampled_from("`~#*_[]()<>!|\\&-+.1 \n\tax:/\"'"), max_size=60)
    | st.sampled_from(HOSTILE)
)


@given(text=TEXTS)
def test_a_fenced_text_is_one_block_of_code(text: str) -> None:
    tokens = READER.parse(f"### I110\n\n{fenced(text)}\n\nadvice\n")
    assert [token.type for token in tokens if token.type != "inline"] == [
        *("heading_open", "heading_close", "fence", "paragraph_open", "paragraph_close")
    ]
    (code,) = [token.content for token in tokens if token.type == "fence"]
    assert code.rstrip("\n") == "\n".join(visible_lines(text)).rstrip("\n")


@given(text=TEXTS)
def test_a_plain_text_is_shown_as_it_is(text: str) -> None:
    tokens = READER.parse(f"before {plain(text)} after")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children).split() == ["before", *visible(text).split(), "after"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_cell_stays_in_its_table(text: str) -> None:
    tokens = READER.parse(f"| name | count |\n|---|---|\n| {plain(text)} | 3 |\n")
    assert sum(token.type == "td_open" for token in tokens) == 2


@given(text=TEXTS)
def test_nothing_of_a_plain_text_becomes_html(text: str) -> None:
    shown = READER.render(f"# {plain(text)}\n\n- {plain(text)}\n\n[{plain(text)}](/here)\n")
    assert set(re.findall(r"</?(\w+)", shown)) <= {"h1", "ul", "li", "p", "a"}
    assert re.findall(r'<a href="([^"]*)"', shown) == ["/here"]
    assert shown.count("<h1") == shown.count("<li") == 1


@given(text=TEXTS)
def test_a_visible_text_is_one_line_without_anything_that_a_terminal_obeys(text: str) -> None:
    shown = visible(text)
    assert len(shown.splitlines()) <= 1
    assert all(letter.isprintable() for letter in shown if letter.isascii())
    assert not set(shown) & set("\x1b\x9b\u202e\u200b\u2028\ufeff")
    assert visible(shown) == shown
    shown.encode()


@given(text=TEXTS)
def test_visible_lines_are_lines(text: str) -> None:
    shown = visible_lines(text)
    assert all(len(line.splitlines()) <= 1 for line in shown)
    assert not set("".join(shown)) & set("\x00\x1b\x9b\u202e\u200b\u2028\ufeff\x1f")


def test_what_people_write_stays_readable() -> None:
    assert visible("  UiO-66, 25 °C,\tβ form  ") == "UiO-66, 25 °C, β form"
