"""The worker of the maintenance pool: ``python -m flows.upkeep``.

Maintenance runs whose process is gone hold slots of the pool, and only the janitor, which waits for a slot, would free
them. So they are ended before the worker starts (a server that is away is waited for), and looked for while it works:
not only a worker that died leaves such runs. Prefect 3.8.8's asks for Pending, and gives a run up whose answer it did
not get (a server that was busy for too long), though the server has written it; and it reports the end of a process
once. Two such runs, of a pool that runs two, and nothing is maintained any more.
"""

import logging
import socket
import sys
import threading
import time
from datetime import UTC, datetime

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.exceptions import PrefectException

from flows.janitor import SignsOfLife, bury, deployed
from flows.preflight import check_password, stop_with
from flows.site import UPKEEP_POOL
from flows.worker import main as work
from tasks.model import ProgramNotFoundError

log = logging.getLogger("apertura.upkeep")

ASK_AGAIN_S = 5.0
"""A server takes 5 to 40 s to start."""
HELD = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
LOOK_S = 30.0
"""Between two looks for lost runs while the worker works. Chosen, not measured: one costs the server three requests."""
LOST_S = 60.0
"""In its state, of a run without a process, before it is taken for lost. Chosen, not measured: a worker takes 3 to 15 s
at loads of 1 to 10, and one that is ended too soon is made up for by the next."""


def free_slots(*, older_than_s: float = 0.0) -> int:
    """End the runs of the maintenance pool that have no process on this machine; return how many."""
    now = datetime.now(UTC)
    with get_client(sync_client=True) as client:
        signs = SignsOfLife(client, now)
        held = [run for state in HELD for run in deployed(client, state) if run.work_pool_name == UPKEEP_POOL]
        old = [run for run in held if run.state and (now - run.state.timestamp).total_seconds() >= older_than_s]
        lost = [run for run in old if not signs.has_process(run)]
        for run in lost:
            bury(client, run, now)
    return len(lost)


def keep_slots_free() -> None:
    """Look for lost runs for ever; what a server that is away or busy does not answer is asked at the next look."""
    while True:
        time.sleep(LOOK_S)
        try:
            if freed := free_slots(older_than_s=LOST_S):
                log.warning("%d maintenance runs had no process and held their slots: ended", freed)
        except (httpx.HTTPError, PrefectException, OSError, RuntimeError, ValueError) as error:
            log.warning("lost maintenance runs could not be looked for (%s); again in %g s", error, LOOK_S)


def main() -> None:
    """Free the slots, then become the worker, which keeps them free."""
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
    threading.Thread(target=keep_slots_free, name="slots", daemon=True).start()
    sys.argv = ["flows.worker", "--pool", UPKEEP_POOL, "--name", f"{socket.gethostname()}-upkeep"]
    work()


if __name__ == "__main__":
    main()
