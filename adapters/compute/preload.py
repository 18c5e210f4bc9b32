"""What a worker of Dask on this machine does before all else; it stands here as Dask asks for a module."""

import signal


def dask_setup(_worker: object) -> None:
    """Leave interrupts from the keyboard, which reach all processes of a terminal, to the one that runs the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
