"""What nothing refers to any more is given back while a service rests."""

import gc
import threading
import weakref

from adapters.host.give_back import give_back


class Ring:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_rings_of_objects_are_collected_though_nothing_else_happens() -> None:
    gone = threading.Event()
    weakref.finalize(Ring(), gone.set)
    gc.disable()
    over = give_back(0.01)
    try:
        assert gone.wait(300)
    finally:
        over.set()
        gc.enable()
