"""Text from outside (names, messages, comments) where people read it: as text on one page or line, and nothing else.

Prefect's pages show Markdown, with HTML and links in it; a terminal obeys what stands in a log. Whatever comes of a
manifest, a name of a file or a person goes through one of these functions before it stands among text of ours.
"""

import re

SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:@^$=\"'/])")
"""Every character that means something to CommonMark, its tables and links, or to HTML."""
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff]")
"""Control characters (a terminal obeys them), those that turn the direction of text or show nothing, surrogates."""


def visible(text: str) -> str:
    """Return text as one line in which every character can be seen; those that cannot stand as their numbers."""
    return UNSEEN.sub(_number, " ".join(text.split()))


def visible_lines(text: str) -> list[str]:
    """Return text of several lines as lines in which every character can be seen."""
    return [UNSEEN.sub(_number, line.replace("\t", "    ")) for line in text.splitlines()]


def plain(text: str) -> str:
    """Return text as one line that Markdown shows as it is."""
    return SPECIAL.sub(r"\\\1", visible(text))


def fenced(text: str) -> str:
    """Return text of several lines as a block of code that nothing in it can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence, *visible_lines(text), fence])


def _number(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
