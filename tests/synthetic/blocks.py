"""Units of work that are done in other processes: small, and told what to do there."""

import logging
import os
import signal
import time
from pathlib import Path

from tasks.frames import FrameSeries
from tasks.integrate import BuiltinIntegrator
from tasks.model import Document, FileRef, ScienceError
from tasks.model.cores import usable_cores
from tasks.stage import stage

log = logging.getLogger("apertura.blocks")


class Asked(Document):
    """What a block does: `deaths` processes die at it, each leaving a mark in `marks`."""

    word: str
    deaths: int = 0
    marks: Path | None = None
    fails: bool = False


class Done(Document):
    """What a block left."""

    text: FileRef
    length: int


@stage(name="word {asked.word}")
def write_word(asked: Asked, workdir: Path) -> Done:
    """Write a word, or die."""
    log.info("writing %s in process %d with %d cores", asked.word, os.getpid(), usable_cores())
    if asked.marks is not None:
        mark = asked.marks / f"{asked.word}-{os.getpid()}"
        mark.touch()
        if len(list(asked.marks.glob(f"{asked.word}-*"))) <= asked.deaths:
            os.kill(os.getpid(), signal.SIGKILL)
    if asked.fails:
        raise ScienceError(f"no {asked.word}", "take another word")
    (workdir / "text").write_text(asked.word)
    return Done(text=FileRef.of(workdir / "text"), length=len(asked.word))


class TimedBlock(Document):
    """When a block began and ended, s since the epoch, and what it cost its process in CPU s."""

    number: int
    process: int
    begun_s: float
    ended_s: float
    cpu_s: float


@stage(name="block {number}")
def integrate_timed(frames: FrameSeries, engine: Document, number: int, workdir: Path) -> TimedBlock:
    """Integrate frames, or do nothing if the engine is none that can."""
    begun, cpu = time.time(), time.process_time()
    if isinstance(engine, BuiltinIntegrator):
        engine.integrate(frames, workdir)
    return TimedBlock(
        number=number, process=os.getpid(), begun_s=begun, ended_s=time.time(), cpu_s=time.process_time() - cpu
    )
