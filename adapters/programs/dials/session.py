"""One folder in which DIALS programs are run one after the other, and what was tried there."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapters.host.runner import ProgramRun, run_program
from adapters.programs.probe import DIALS
from tasks.model import ProgramFailedError
from tasks.model.provenance import Attempt


@dataclass
class Session:
    """Keeps the folder, the time limit and the record of attempts."""

    folder: Path
    timeout_s: float
    attempts: list[Attempt] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def record(self, change: str, reason: str, outcome: str) -> None:
        """Add an attempt to the record."""
        self.attempts.append(Attempt(change=change, reason=reason, outcome=outcome))

    def attempt(self, argv: Sequence[str], *, outputs: Sequence[str], log_name: str | None = None) -> str | None:
        """Run a program whose failure may be the data's; return None, or in one line why there is no output.

        Raises
        ------
        ProgramFailedError
            If a signal ended it: that is the machine's doing, not the data's.
        """
        for name in outputs:
            (self.folder / name).unlink(missing_ok=True)
        run = run_program(
            argv,
            workdir=self.folder,
            timeout_s=self.timeout_s,
            log_name=log_name or argv[0],
            install=DIALS.install,
        )
        if run.returncode < 0:
            raise ProgramFailedError(f"{argv[0]} was killed by signal {-run.returncode}", run.tail())
        missing = [name for name in outputs if not (self.folder / name).is_file()]
        if run.returncode == 0 and not missing:
            return None
        return _complaint(run) or f"ended with {run.returncode}" + (f" without {missing[0]}" if missing else "")

    def run(self, argv: Sequence[str], *, outputs: Sequence[str], log_name: str | None = None) -> None:
        """Run a program that has no reason to fail.

        Raises
        ------
        ProgramFailedError
            If it does, with the tail of what it said.
        """
        complaint = self.attempt(argv, outputs=outputs, log_name=log_name)
        if complaint is not None:
            stem = self.folder / (log_name or argv[0])
            run = ProgramRun(
                argv=tuple(argv),
                returncode=1,
                stdout=stem.with_name(f"{stem.name}.out"),
                stderr=stem.with_name(f"{stem.name}.err"),
                elapsed_s=0,
            )
            raise ProgramFailedError(f"{argv[0]} failed: {complaint}", run.tail())

    def text(self, name: str) -> str:
        """Return the text of a file in the folder, empty if there is none."""
        path = self.folder / name
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _complaint(run: ProgramRun) -> str:
    """Return the last line of the error stream that says something."""
    lines = [line.strip() for line in run.tail(40).splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line or line.startswith("Sorry")]
    return (telling or lines or [""])[-1][:300].replace(
        "Please report this error to dials-support@lists.sourceforge.net: ", ""
    )
