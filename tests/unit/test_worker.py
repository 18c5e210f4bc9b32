"""The worker of our pools: Prefect's, but it does not load the flow of a run that died."""

import asyncio
import runpy
import sys
from pathlib import Path

import pytest
from prefect.workers.process import ProcessWorker

from flows import worker
from flows.worker import without_hooks


def test_the_flow_of_a_run_that_died_is_not_loaded_to_look_for_its_hooks() -> None:
    flow = asyncio.run(without_hooks())
    assert not flow.on_crashed_hooks
    assert not flow.on_cancellation_hooks
    assert "load_flow_from_flow_run" in ProcessWorker.run.__code__.co_names, "Prefect looks for hooks in another way"


def test_no_flow_of_ours_has_a_hook_that_would_be_missed() -> None:
    import flows

    texts = [path.read_text() for path in Path(str(flows.__file__)).parent.rglob("*.py")]
    assert any("@flow(" in text for text in texts)
    assert not any("on_crashed=" in text or "on_cancellation=" in text for text in texts)


def test_a_pool_that_is_not_there_is_waited_for_and_never_made_of_prefect_s_template(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(runpy, "run_module", lambda *_, **__: started.append(sys.argv))
    monkeypatch.setattr(worker, "give_back", lambda: None)
    monkeypatch.setattr(sys, "argv", ["flows.worker", "--pool", "p"])
    monkeypatch.setitem(vars(worker.process), "load_flow_from_flow_run", None)
    worker.main()
    assert started == [
        ["prefect", "worker", "start", "--type", "process", "--no-create-pool-if-not-found", "--pool", "p"]
    ]
