"""What a person sees while a run goes on: one line per step on stderr, and how long each step took."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, Self
from uuid import UUID

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tasks.stage import tell

log = logging.getLogger("apertura.run")


class Steps(Protocol):
    """Told about every step of the pipeline; keeps the times."""

    timings_s: dict[str, float]
    begun_s: float

    @contextmanager
    def step(self, stage: str, crystal: str = "") -> Iterator[None]:
        """Enclose one step; may be entered from several threads at once."""
        ...


class QuietSteps:
    """Keeps the times and writes log lines: for flows in a Prefect worker and for tests."""

    def __init__(self) -> None:
        self.timings_s: dict[str, float] = {}
        self.begun_s = time.perf_counter()
        self._lock = threading.Lock()

    @contextmanager
    def step(self, stage: str, crystal: str = "") -> Iterator[None]:
        """Enclose one step."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, crystal, time.perf_counter() - begin)

    def add(self, stage: str, crystal: str, seconds: float) -> None:
        """Add the time of one step."""
        name = f"{stage} {crystal}".strip()
        with self._lock:
            self.timings_s[name] = round(self.timings_s.get(name, 0.0) + seconds, 3)
        log.info("%s took %.1f s", name, seconds)


class PublishedSteps(QuietSteps):
    """Beside the log, a progress bar on the page of a flow run: steps done of those of all crystals."""

    STEPS_OF_A_CRYSTAL = ("frames", "integrate", "solve", "refine")

    def __init__(self) -> None:
        super().__init__()
        self._artifact: UUID | None = None
        self._expected = self._done = 0

    def expect(self, crystals: int) -> None:
        """Show the bar: so many crystals are to be worked on."""
        from prefect.artifacts import create_progress_artifact

        def show() -> None:
            text = f"{crystals} crystals, {len(self.STEPS_OF_A_CRYSTAL)} steps each; fewer for one that fails"
            made = create_progress_artifact(0.0, key="progress", description=text)
            self._artifact = made if isinstance(made, UUID) else None

        self._expected = crystals * len(self.STEPS_OF_A_CRYSTAL)
        tell(show)

    def add(self, stage: str, crystal: str, seconds: float) -> None:
        """Add the time of one step."""
        super().add(stage, crystal, seconds)
        if stage in self.STEPS_OF_A_CRYSTAL and crystal.startswith("crystal-"):
            with self._lock:
                self._done += 1
            self._show(100.0 * self._done / max(self._expected, self._done))
        elif stage == "report":
            self._show(100.0)

    def _show(self, percent: float) -> None:
        from prefect.artifacts import update_progress_artifact

        if (made := self._artifact) is not None:
            tell(lambda: update_progress_artifact(made, round(percent, 1)))


class LinesTo(logging.Handler):
    """Prints log records of a long search as lines among those of the steps."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record."""
        self._console.print(f"{'solve':<10} {record.getMessage()}", markup=False)


class TerminalSteps(QuietSteps):
    """Shows running steps with a spinner and finished ones as lines, on stderr."""

    def __init__(self) -> None:
        super().__init__()
        self.console = Console(stderr=True, highlight=False)
        self._lines = LinesTo(self.console)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.fields[stage]:<10}[/] {task.fields[crystal]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        search = logging.getLogger("apertura.search")
        search.setLevel(logging.INFO)
        search.addHandler(self._lines)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apertura.search").removeHandler(self._lines)
        self._progress.stop()

    @contextmanager
    def step(self, stage: str, crystal: str = "") -> Iterator[None]:
        """Enclose one step."""
        row = self._progress.add_task("", total=None, stage=stage, crystal=crystal)
        begin = time.perf_counter()
        ended = "failed"
        try:
            yield
            ended = "done"
        finally:
            seconds = time.perf_counter() - begin
            self._progress.remove_task(row)
            self.console.print(f"{stage:<10} {crystal:<12} {ended} in {seconds:.1f} s")
            self.add(stage, crystal, seconds)
