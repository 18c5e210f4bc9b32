"""What became of the run of a data set that comes again decides whether it gets another."""

from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound

from flows.deliveries import ATTEMPTS_MAX, NO_RETRY_TAG, Fate, fate_of, judged


@pytest.mark.parametrize(
    ("kind", "count", "tags", "fate"),
    [
        (StateType.COMPLETED, 1, [], Fate.ended),
        (StateType.FAILED, 1, [], Fate.failed),
        (StateType.CANCELLED, 1, [], Fate.failed),
        (StateType.RUNNING, 1, [], Fate.under_way),
        (StateType.PAUSED, 1, [], Fate.under_way),
        (StateType.CRASHED, 1, [], Fate.under_way),
        (StateType.CRASHED, ATTEMPTS_MAX, [], Fate.failed),
        (StateType.CRASHED, 1, [NO_RETRY_TAG], Fate.failed),
    ],
)
def test_a_run_that_the_janitor_will_try_again_is_under_way(
    kind: StateType, count: int, tags: list[str], fate: Fate
) -> None:
    run = FlowRun(flow_id=uuid4(), state=State(type=kind), state_type=kind, run_count=count, tags=tags)
    assert judged(run) is fate


def test_a_deleted_run_counts_as_failed() -> None:
    class Server:
        def read_flow_run(self, run_id: object) -> FlowRun:
            raise ObjectNotFound(KeyError(run_id))

    server: Any = Server()
    assert fate_of(server, str(uuid4())) is Fate.failed
    assert fate_of(server, None) is Fate.failed
