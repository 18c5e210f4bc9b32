"""Work for the studio's other process: small functions that it finds by the name of this module."""

import os
import time

from tasks.model import NotIndexedError


def doubled(number, tell):
    """Return twice a number, and tell of it."""
    tell(f"doubling {number}")
    return 2 * number


def refuses(text, tell):
    """Raise what the stages raise."""
    raise NotIndexedError(text, "draw more")


def dies(_request, tell):
    """End without an answer."""
    os._exit(3)


def never_ends(_request, tell):
    """Tell its process number and wait."""
    tell(str(os.getpid()))
    while True:
        time.sleep(1)
