"""A block: one unit of work of one crystal, done in a process that was started for such.

Its function is found by its name; documents, engines, plain values and paths cross, arrays do not. What it leaves lies
in the run folder, put there by one rename: to do it twice, even at the same time, is harmless.
"""

import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from adapters.compute.notes import noted_in
from tasks.frames import FrameSeries
from tasks.ingest import TiltSeries
from tasks.model import Document, ProgramNotFoundError
from tasks.model.cores import sharing_cores
from tasks.stage import code_version, done_here

BLOCK_BYTES = 700 * 2**20
"""Memory of one block without its frames, see `memory_of`. Measured: a worker's peak over all stages of the series
of `tests.benchmarks.compute`, whose frames take little, was 0.43 GB in processes, 0.56 with all stages in one."""
COPIES_OF_FRAMES = 4
"""Of a crystal's frames as float32 that are held at once. Chosen, not measured: sums, two halves, a background."""
FLOAT_BYTES = 4  # of a float32


class CrystalBlock(NamedTuple):
    """A unit of work and its arguments, on the way to whoever does it."""

    call: Callable[..., Document]
    arguments: dict[str, Any]
    notes: Path
    code: str
    cores: int | None

    @property
    def name(self) -> str:
        """What it is called in messages: the stage's folder in that of the crystal."""
        place = Path(self.arguments["workdir"])
        return f"{place.parent.name}/{place.name}"


def do_block(block: CrystalBlock) -> str:
    """Do a block in this process; return the text of the document that it left.

    Raises
    ------
    ProgramNotFoundError
        If this process has other code than the one that asks.
    """
    if block.code != code_version():
        raise ProgramNotFoundError(
            f"worker {os.uname().nodename} has another version of apertura ({code_version()}, not {block.code})",
            "install the same version there",
        )
    share = block.cores
    with noted_in(block.notes), sharing_cores(None if share is None else lambda: share):
        return done_here(block.call, block.arguments)


def memory_of(arguments: Mapping[str, Any]) -> int:
    """Return how much memory a block needs, roughly, in bytes: its imports, and copies of a crystal's frames."""
    stack = 0
    for source in (arguments.get("frames"), arguments.get("series")):
        if isinstance(source, FrameSeries | TiltSeries):
            number = len(source.frames if isinstance(source, FrameSeries) else source.scans)
            stack = max(stack, number * math.prod(source.detector.shape_px))
    return BLOCK_BYTES + COPIES_OF_FRAMES * FLOAT_BYTES * stack


def thread_limits(cores: int) -> dict[str, str]:
    """Return the environment of a process that may use so many cores; to be set before anything is imported there.

    OpenBLAS has one thread wherever it is: what is multiplied is small, and the last digit depends on the number.
    """
    share = str(max(1, cores))
    wide = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "BLOSC_NTHREADS")
    return {**dict.fromkeys(wide, share), "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
