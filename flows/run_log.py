"""What a run logs, in its folder: ``run.log``, with the files before it when it grows."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from tasks.model import visible_lines

NAME = "run.log"
BYTES, FILES = 2**20, 3
"""A run of twenty crystals logs 50 kB: these hold it through dozens of retries. Chosen, not measured."""


class VisibleFormatter(logging.Formatter):
    """Writes records in which names from outside begin no line of their own, and hold nothing that a terminal obeys."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record; its further lines are indented."""
        return "\n    ".join(visible_lines(super().format(record)))


@contextmanager
def logged(folder: Path) -> Iterator[None]:
    """Write what apertura logs into a run folder; warnings go on to stderr where nobody else takes them."""
    logger = logging.getLogger("apertura")
    handlers: list[logging.Handler] = []
    if not logger.hasHandlers() and logging.lastResort is not None:
        handlers.append(logging.lastResort)
    file = RotatingFileHandler(folder / NAME, maxBytes=BYTES, backupCount=FILES, encoding="utf-8")
    file.setLevel(logging.INFO)
    form = VisibleFormatter("%(asctime)sZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    form.converter = time.gmtime
    file.setFormatter(form)
    handlers.append(file)
    level = logger.level
    logger.setLevel(min(logging.INFO, logger.getEffectiveLevel()))
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
        logger.setLevel(level)
        file.close()
