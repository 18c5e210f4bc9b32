"""How many cores a piece of work may use: its share, where several are done side by side."""

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import joblib

_SHARE: contextvars.ContextVar[Callable[[], int] | None] = contextvars.ContextVar("apertura_cores", default=None)


def usable_cores() -> int:
    """Return how many cores this piece of work may use now: those of this process (affinity, cgroup), or its share."""
    share = _SHARE.get()
    return joblib.cpu_count() if share is None else max(1, min(joblib.cpu_count(), share()))


@contextmanager
def sharing_cores(share: Callable[[], int] | None) -> Iterator[None]:
    """Let what is done in this context use so many cores; `share` is asked each time, and may change its mind."""
    token = _SHARE.set(share)
    try:
        yield
    finally:
        _SHARE.reset(token)
