"""Memory given back to the system by a service that lives for months and works for seconds.

What a request leaves behind in cycles (connections with their TLS contexts) waits for Python's full collection, which
is rare in a process with many objects; until then it grows, and what was grown stays with the C library. Measured on
Prefect's worker over 24 runs: 27 MiB more in use, with not one object more alive.
"""

import ctypes
import gc
import threading

EVERY_S = 60.0
"""Between two collections: one takes some 0.1 s of CPU time for 200,000 objects. Chosen, not measured."""


def give_back(every_s: float = EVERY_S) -> threading.Event:
    """Collect, and give back what is free, every so often in a thread of its own, until what is returned is set."""
    over = threading.Event()
    threading.Thread(target=_until, args=(over, every_s), name="give-back", daemon=True).start()
    return over


def collect() -> None:
    """Collect what nothing refers to, and give free memory back, where the C library can (glibc)."""
    gc.collect()
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _until(over: threading.Event, every_s: float) -> None:
    while not over.wait(every_s):
        collect()
