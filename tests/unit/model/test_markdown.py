"""What is written in a manifest or by a person is shown as text: no heading, link, image or HTML comes of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from flows.markdown import fenced, plain

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
TEXTS = st.text(alphabet=st.sampled_from("`~#*_[]()<>!|\\&-+.1 \n\tax:/\"'"), max_size=60) | st.sampled_from(HOSTILE)


@given(text=TEXTS)
def test_a_fenced_text_is_one_block_of_code(text: str) -> None:
    tokens = READER.parse(f"### I110\n\n{fenced(text)}\n\nadvice\n")
    assert [token.type for token in tokens if token.type != "inline"] == [
        *("heading_open", "heading_close", "fence", "paragraph_open", "paragraph_close")
    ]
    (code,) = [token.content for token in tokens if token.type == "fence"]
    assert code.split() == "\n".join(text.splitlines()).split()


@given(text=TEXTS)
def test_a_plain_text_is_shown_as_it_is(text: str) -> None:
    tokens = READER.parse(f"before {plain(text)} after")
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children or []
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children).split() == ["before", *text.split(), "after"]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_cell_stays_in_its_table(text: str) -> None:
    tokens = READER.parse(f"| name | count |\n|---|---|\n| {plain(text)} | 3 |\n")
    assert sum(token.type == "td_open" for token in tokens) == 2
