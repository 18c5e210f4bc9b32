"""The worker of the maintenance pool: ``python -m flows.upkeep``.

Maintenance runs whose process died with their worker hold slots of the pool, and only the janitor, which waits for a
slot, would free them. So they are ended before the worker starts; a server that is away is waited for.
"""

import logging
import os
import socket
import sys
import time
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType

from flows.janitor import SignsOfLife, bury, deployed
from flows.preflight import check_password, stop_with
from flows.site import UPKEEP_POOL
from tasks.model import ProgramNotFoundError

log = logging.getLogger("apertura.upkeep")

ASK_AGAIN_S = 5.0
"""A server takes 5 to 40 s to start."""
HELD = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)


def free_slots() -> int:
    """End the runs of the maintenance pool that have no process on this machine; return how many."""
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        signs = SignsOfLife(client, now)
        held = [run for state in HELD for run in deployed(client, state) if run.work_pool_name == UPKEEP_POOL]
        lost = [run for run in held if not signs.has_process(run)]
        for run in lost:
            bury(client, run, now)
    return len(lost)


def main() -> None:
    """Free the slots, then become the worker."""
    while True:
        try:
            check_password()
            free_slots()
            break
        except ProgramNotFoundError as error:
            stop_with(error)
        except httpx.HTTPError as error:
            log.warning("the server does not answer (%s); asked again", type(error).__name__)
            time.sleep(ASK_AGAIN_S)
    name = f"{socket.gethostname()}-upkeep"
    command = ["flows.worker", "--type", "process", "--pool", UPKEEP_POOL, "--name", name]
    os.execv(sys.executable, [sys.executable, "-m", *command])  # noqa: S606 # nosec B606 this process becomes the worker


if __name__ == "__main__":
    main()
