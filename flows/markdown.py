"""Text from outside (names, messages, comments) in the Markdown that Prefect's pages show: as text, nothing else."""

import re

SPECIAL = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~&:@^$=\"'/])")
"""Every character that means something to CommonMark, its tables and links, or to HTML."""


def plain(text: str) -> str:
    """Return text as one line that Markdown shows as it is."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def fenced(text: str) -> str:
    """Return text of several lines as a block of code that nothing in it can close."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return "\n".join([fence, *text.splitlines(), fence])
