"""A scheduler that is away, of another version, or with small workers: what is said, and what is done all the same."""

import socket
from collections.abc import Callable
from concurrent.futures import Future
from importlib.metadata import version
from pathlib import Path
from typing import Any

import distributed
import pytest

from adapters.compute import dask_workers
from adapters.compute.block import BLOCK_BYTES, do_block
from adapters.compute.clusters import KubernetesCluster, RunningScheduler, SlurmCluster
from adapters.compute.dask_workers import DaskCompute, DaskHands
from adapters.compute.place import ComputePlace
from adapters.compute.same_versions import require_same_versions
from flows.cli import exit_code
from flows.site import Site
from tasks.model import ProgramNotFoundError, SettingsError
from tests.synthetic.blocks import Asked, write_word

PACKAGES = {"python": "3.11.7.final.0", "dask": version("dask"), "distributed": version("distributed")}


class Released(Future[str]):
    """A future of Dask, as far as it is used."""

    def release(self) -> None:
        """Let the scheduler forget it."""


class FakeClient:
    """A scheduler of some workers, by their memory, as a client tells of it; what is submitted is done at once."""

    def __init__(self, *memory: int, threads: int = 1) -> None:
        self.workers = {
            f"tcp://w{number}": {"nthreads": threads, "memory_limit": limit} for number, limit in enumerate(memory)
        }
        self.sent_to: list[Any] = []
        self.packages = {"scheduler": PACKAGES, "workers": PACKAGES, "client": PACKAGES}
        self.change: dict[str, str | None] = {}

    def scheduler_info(self, *, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1
        return {"workers": self.workers}

    def submit(self, function: Callable[..., Any], block: Any, *, key: str, pure: bool, workers: Any) -> Released:
        assert function is do_block
        self.sent_to.append(workers)
        done = Released()
        done.set_result(function(block))
        return done

    def cancel(self, futures: list[Any], *, force: bool) -> None:
        assert force

    def get_versions(self, *, check: bool) -> dict[str, Any]:
        told = {name: {"packages": packages} for name, packages in self.packages.items()}
        return {**told, "workers": {"tcp://w0": told["workers"]}}

    def run(self, function: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        return {"tcp://w0": function() | self.change}


def hands_of(client: FakeClient, folder: Path, wanted: int | None = None) -> DaskHands:
    return DaskHands(distributed, client, "the scheduler", wanted, folder)


def test_a_scheduler_that_does_not_answer_ends_the_command_with_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "CONNECT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    engine = DaskCompute(address=f"tcp://127.0.0.1:{port}")
    with (
        pytest.raises(ProgramNotFoundError, match="no scheduler of Dask answers") as caught,
        engine.opened(ComputePlace(tmp_path)),
    ):
        pass
    assert exit_code(caught.value) == 4
    assert "dask scheduler" in caught.value.advice


def test_a_scheduler_of_the_same_versions_is_taken():
    require_same_versions(FakeClient(), "the scheduler")


@pytest.mark.parametrize(
    ("where", "packages"),
    [
        ("scheduler", {"distributed": "2025.1.0"}),
        ("workers", {"dask": "2025.1.0"}),
        ("workers", {"python": "3.12.1.final.0"}),
    ],
)
def test_another_dask_or_python_is_named(where, packages):
    client = FakeClient()
    client.packages[where] = PACKAGES | packages
    ((name, found),) = packages.items()
    with pytest.raises(ProgramNotFoundError, match=f"{name} {found[:4]}.* on .*, here") as caught:
        require_same_versions(client, "the scheduler")
    assert exit_code(caught.value) == 4


@pytest.mark.parametrize("change", [{"numpy": "1.0"}, {"apertura's code": "0123"}, {"apertura's code": None}])
def test_workers_with_another_apertura_or_other_numerics_are_named(change):
    client = FakeClient()
    client.change = change
    with pytest.raises(ProgramNotFoundError, match="on worker tcp://w0, here"):
        require_same_versions(client, "the scheduler")


def test_blocks_go_to_workers_with_memory_enough_and_no_more_of_them_at_once(tmp_path, caplog):
    client = FakeClient(BLOCK_BYTES // 2, 3 * BLOCK_BYTES, threads=8)
    hands = hands_of(client, tmp_path)
    assert hands.at_once == 3
    assert "3 blocks at once, for want of memory" in caplog.text
    hands.do(write_word, {"asked": Asked(word="spot"), "workdir": tmp_path / "spot"})
    assert client.sent_to == [["tcp://w1"]]


def test_no_worker_is_named_where_all_have_memory_enough_as_one_that_begins_anew_has_another_address(tmp_path):
    client = FakeClient(BLOCK_BYTES, 0)
    hands_of(client, tmp_path).do(write_word, {"asked": Asked(word="spot"), "workdir": tmp_path / "spot"})
    assert client.sent_to == [None]


def test_a_block_goes_to_another_worker_when_the_only_one_that_was_named_is_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "LOOK_S", 0.01)
    client = FakeClient(BLOCK_BYTES // 2, BLOCK_BYTES)
    submit = client.submit

    def lost(*_: Any, workers: Any, **__: Any) -> Released:
        client.workers["tcp://w2"] = client.workers.pop("tcp://w1")
        client.sent_to.append(workers)
        monkeypatch.setattr(client, "submit", submit)
        return Released()

    monkeypatch.setattr(client, "submit", lost)
    hands_of(client, tmp_path).do(write_word, {"asked": Asked(word="spot"), "workdir": tmp_path / "spot"})
    assert client.sent_to == [["tcp://w1"], ["tcp://w2"]]


def test_a_scheduler_that_stays_without_workers_ends_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "LOOK_S", 0.01)
    monkeypatch.setattr(dask_workers, "WORKERLESS_S", 0.05)
    client = FakeClient()
    monkeypatch.setattr(client, "submit", lambda *_, **__: Released())
    with pytest.raises(ProgramNotFoundError, match="without any worker"):
        hands_of(client, tmp_path).do(write_word, {"asked": Asked(word="spot"), "workdir": tmp_path / "spot"})


def test_what_fits_on_no_worker_is_done_here_and_said_once(tmp_path, caplog):
    client = FakeClient(BLOCK_BYTES // 2)
    hands = hands_of(client, tmp_path)
    for word in ("spot", "axis"):
        hands.do(write_word, {"asked": Asked(word=word), "workdir": tmp_path / word})
        assert (tmp_path / word / "text").read_text() == word
    assert client.sent_to == []
    assert "it is done in this process" in caplog.text


def test_an_optional_package_that_is_absent_is_named(tmp_path):
    clusters = {
        "short": SlurmCluster(kind="slurm", queue="short"),
        "pods": KubernetesCluster(kind="kubernetes", image="apertura:0.2.0"),
    }
    for name, package in (("short", "dask-jobqueue"), ("pods", "dask-kubernetes")):
        engine = DaskCompute(cluster=name)
        with pytest.raises(ProgramNotFoundError) as caught, engine.opened(ComputePlace(tmp_path, clusters)):
            pass
        assert package in caught.value.advice
        assert exit_code(caught.value) == 4


def test_a_cluster_that_the_site_does_not_know_is_named_with_those_it_knows(tmp_path):
    site = Site.model_validate({"clusters": {"held": {"kind": "running", "address": "tls://there:8786"}}})
    assert site.clusters == {"held": RunningScheduler(kind="running", address="tls://there:8786")}
    engine = DaskCompute(cluster="other")
    with (
        pytest.raises(SettingsError, match="not in the site file") as caught,
        engine.opened(ComputePlace(tmp_path, site.clusters)),
    ):
        pass
    assert "held" in caught.value.advice
