"""Files as damage and malice leave them, and the alarm for what hangs on them."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


def mutated(content: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with a few flipped, cut out, doubled or replaced, or the end cut off."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, 8))):
        at = int(rng.integers(0, max(len(data), 1)))
        size = int(rng.integers(1, 65))
        match int(rng.integers(0, 6)):
            case 0:
                data[at : at + 1] = bytes([int(rng.integers(0, 256))])
            case 1:
                del data[at : at + size]
            case 2:
                data[at:at] = data[at : at + size]
            case 3:
                data[at : at + size] = rng.bytes(size)
            case 4:
                data[at : at + 8] = b"\xff" * 8
            case _:
                del data[max(at, 1) :]
    return bytes(data)


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    """Interrupt what hangs."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"hangs for {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
