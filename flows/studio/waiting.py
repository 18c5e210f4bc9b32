"""A run that waits for a person's answer about its apertures, answered from the studio by way of the Prefect server."""

import hashlib
import os
from pathlib import Path
from uuid import UUID

from pydantic import ValidationError

from flows.approval_files import APERTURES, WAITING_NAME, WaitingApproval, accepted_file
from flows.storage import named_storage_errors
from tasks.model import FileRef, InputError, ProgramFailedError, ProgramNotFoundError

STUDIO = "studio"
HASH_LENGTH = 16
"""Letters of the SHA-256 in the name of an accepted file: 64 bits tell apart all files that a run will ever have."""


def waits(run: Path) -> WaitingApproval | None:
    """Return the question that a run folder waits with; None if none is asked about its apertures.

    Whether it is still asked, the server knows: `accept` asks it.
    """
    try:
        found = WaitingApproval.model_validate_json((run / WAITING_NAME).read_text(encoding="utf-8"))
    except (OSError, ValidationError):
        return None
    return found if found.asked == APERTURES else None


def accept(run: Path, aperture_file: Path, *, who: str) -> FileRef:
    """Resume the run of a folder with a corrected aperture file; return the file that it will use, byte for byte.

    The file is copied under a name that its content makes, so that what is saved later changes nothing.

    Raises
    ------
    InputError
        If the run does not wait, or no longer (somebody else has answered, or the time limit has passed).
    ProgramNotFoundError
        If no Prefect server is named or it does not answer.
    ProgramFailedError
        If the server refuses the answer.
    """
    waiting = waits(run)
    if waiting is None:
        raise InputError(f"{run.name}: waits for no answer about its apertures", "solve it as a new run instead")
    if not os.environ.get("PREFECT_API_URL"):
        raise ProgramNotFoundError("PREFECT_API_URL is not set", "name the Prefect server that the run waits on")
    with named_storage_errors(run):
        kept = _copied(aperture_file, run)
    comment = f"corrected in the studio by {who}"
    answer = {"approve": True, "crystals": [], "corrected": kept.path.relative_to(run.resolve()).as_posix()}
    _resume(UUID(waiting.flow_run), {**answer, "comment": comment}, run)
    return kept


def _copied(aperture_file: Path, run: Path) -> FileRef:
    data = aperture_file.read_bytes()
    name = f"{STUDIO}/accepted-{hashlib.sha256(data).hexdigest()[:HASH_LENGTH]}.h5"
    path = run / name
    path.parent.mkdir(exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    partial.write_bytes(data)
    partial.replace(path)
    return accepted_file(run, name)


def _resume(flow_run: UUID, answer: dict[str, object], run: Path) -> None:
    import httpx
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.responses import SetStateStatus
    from prefect.exceptions import ObjectNotFound

    gone = InputError(f"{run.name}: no longer waits: it was answered, or ended", "solve it as a new run instead")
    try:
        with get_client(sync_client=True) as client:
            if client.read_flow_run(flow_run).state_type is not StateType.PAUSED:
                raise gone
            done = client.resume_flow_run(flow_run, run_input=answer)
    except ObjectNotFound as error:
        raise gone from error
    except httpx.HTTPError as error:
        raise ProgramNotFoundError(
            f"the Prefect server does not answer: {type(error).__name__}", "ask who runs it; nothing is lost"
        ) from error
    if done.status is not SetStateStatus.ACCEPT:
        raise ProgramFailedError(f"the Prefect server refused the answer: {done.details}", "open the run's page")
