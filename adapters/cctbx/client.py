"""The way to cctbx: requests go to a worker process, a crash there is a typed error here."""

from collections.abc import Sequence
from pathlib import Path

import pydantic

from adapters.cctbx.messages import Batch, Replies, Request, WorkerFailure
from adapters.host.fork_server import ForkServer
from tasks.model import DivergedError, InputError, ProgramFailedError

START = "import sys; import adapters.cctbx.worker as worker; worker.main(sys.argv[1:])"
SERVER = ForkServer("adapters.cctbx.worker", env={"OMP_NUM_THREADS": "1"})
"""Has imported cctbx, which takes longer than most fits, and forks for every call."""

REQUESTS_NAME = "cctbx_requests.json"
REPLIES_NAME = "cctbx_replies.json"


def ask(requests: Sequence[Request], workdir: Path, *, timeout_s: float) -> Replies:
    """Answer requests in one worker process, a fork of one that has imported cctbx; files go into `workdir`.

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
    asked = Batch(requests=tuple(requests)).model_dump_json(context={"root": workdir})
    (workdir / REQUESTS_NAME).write_text(asked, encoding="utf-8")
    run = SERVER.run(
        START, [REQUESTS_NAME, REPLIES_NAME], workdir=workdir, timeout_s=timeout_s, log_name="cctbx_worker"
    )
    if run.returncode != 0 or not replies.is_file():
        raise ProgramFailedError(f"the cctbx worker ended with {run.returncode} and no reply", run.tail())
    try:
        found = Replies.model_validate_json(replies.read_text(encoding="utf-8"), context={"root": workdir})
    except pydantic.ValidationError as error:
        raise ProgramFailedError("the cctbx worker left an unreadable reply", str(error)) from error
    last = found.replies[-1] if found.replies else None
    if isinstance(last, WorkerFailure):
        raise (DivergedError if last.kind == "diverged" else InputError)(last.message)
    if len(found.replies) != len(requests):
        raise ProgramFailedError(f"the cctbx worker answered {len(found.replies)} of {len(requests)} requests")
    return found
