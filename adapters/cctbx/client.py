"""The way to cctbx: requests go to a worker process, a crash there is a typed error here."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pydantic

from adapters.cctbx.messages import Batch, Replies, Request, WorkerFailure
from adapters.host.runner import run_program
from tasks.model import DivergedError, InputError, ProgramFailedError

ROOT = Path(__file__).resolve().parent.parent.parent
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import adapters.cctbx.worker as worker; worker.main(sys.argv[1:])"
)
"""cctbx is imported first of all by the worker, and the packages are found wherever the parent found them."""

REQUESTS_NAME = "cctbx_requests.json"
REPLIES_NAME = "cctbx_replies.json"


def ask(requests: Sequence[Request], workdir: Path, *, timeout_s: float) -> Replies:
    """Answer requests in one worker process (start-up about 0.6 s); files go into `workdir`.

    Raises
    ------
    ProgramFailedError
        If the worker crashes or leaves no readable reply.
    ProgramTimeoutError
        If it does not end within `timeout_s`.
    DivergedError, InputError
        If the worker says so.
    """
    replies = workdir / REPLIES_NAME
    replies.unlink(missing_ok=True)
    (workdir / REQUESTS_NAME).write_text(Batch(requests=tuple(requests)).model_dump_json(), encoding="utf-8")
    command = [sys.executable, "-c", START, str(ROOT), REQUESTS_NAME, REPLIES_NAME]
    run = run_program(
        command, workdir=workdir, timeout_s=timeout_s, env={"OMP_NUM_THREADS": "1"}, log_name="cctbx_worker"
    )
    if run.returncode != 0 or not replies.is_file():
        raise ProgramFailedError(f"the cctbx worker ended with {run.returncode} and no reply", run.tail())
    try:
        found = Replies.model_validate_json(replies.read_text(encoding="utf-8"))
    except pydantic.ValidationError as error:
        raise ProgramFailedError("the cctbx worker left an unreadable reply", str(error)) from error
    last = found.replies[-1] if found.replies else None
    if isinstance(last, WorkerFailure):
        raise (DivergedError if last.kind == "diverged" else InputError)(last.message)
    if len(found.replies) != len(requests):
        raise ProgramFailedError(f"the cctbx worker answered {len(found.replies)} of {len(requests)} requests")
    return found
