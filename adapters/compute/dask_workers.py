"""The engine of Dask: blocks on the workers of a scheduler, on this machine or on others.

Blocks go to Dask's own client, one future each; it does again what was lost with a worker.
"""

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import joblib
from pydantic import Field, model_validator

from adapters.compute.block import BLOCK_BYTES, CrystalBlock, do_block, memory_of, thread_limits
from adapters.compute.clusters import RunningScheduler, needed
from adapters.compute.notes import notes_told
from adapters.compute.place import ComputePlace
from adapters.compute.same_versions import require_same_versions
from tasks.model import Document, ProgramFailedError, ProgramNotFoundError, SettingsError
from tasks.stage import code_version, done_here

log = logging.getLogger("apertura.compute")

CONNECT_S = 20.0
"""For a scheduler to answer. Chosen, not measured: one that is there answers in milliseconds."""
LOOK_S = 30.0
"""Between looks at whether there are any workers, while a block is waited for. Chosen, not measured."""
WORKERLESS_S = 600.0
"""Without any worker, after which a run ends. Chosen: two workers that were killed took 13 and 16 s to begin anew at a
load of 10 on two cores; on a cluster they wait for nodes."""
PRELOAD = "adapters.compute.preload"
EXTRA, WORKERS = "apertura[dask]", ".workers"
"""What has to be installed; the folder of a run for what a cluster of its own keeps."""


class DaskCompute(Document):
    """Work on crystals with Dask: workers of this machine, of a running scheduler, or of a cluster of the site file."""

    engine: Literal["dask"] = "dask"
    workers: int | None = Field(
        default=None,
        ge=1,
        le=10000,
        description="crystals at once, and workers to start; none: 2 here or of a cluster, all of a scheduler",
    )
    address: str | None = Field(
        default=None, max_length=500, description="of a running scheduler, tcp://HOST:8786; none: workers here"
    )
    cluster: str | None = Field(default=None, max_length=100, description="a section of `clusters` of the site file")

    @model_validator(mode="after")
    def _one_place(self) -> "DaskCompute":
        if self.address is not None and self.cluster is not None:
            raise SettingsError("compute.address and compute.cluster are both set", "give one of them")
        return self

    @contextmanager
    def opened(self, place: ComputePlace) -> Iterator["DaskHands"]:
        """Yield who does units of work; see `adapters.compute.place.Workforce`.

        Raises
        ------
        ProgramNotFoundError
            If the scheduler does not answer, no worker comes, or their versions are others.
        SettingsError
            If the site file has no such cluster.
        """
        distributed = needed("distributed", EXTRA)
        with ExitStack() as stack:
            client, where, wanted = self._client(distributed, place, stack)
            require_same_versions(client, where)
            notes = stack.enter_context(notes_told(place.run))
            hands = DaskHands(distributed, client, where, wanted, notes)
            stack.callback(hands.stop)
            yield hands

    def _client(self, distributed: Any, place: ComputePlace, stack: ExitStack) -> tuple[Any, str, int | None]:
        """Return a client with workers, its scheduler in words, and how many blocks it is to have at once."""
        section = None if self.cluster is None else place.clusters.get(self.cluster)
        address = section.address if isinstance(section, RunningScheduler) else self.address
        if address is not None:
            client = stack.enter_context(_connected(distributed, address))
            _await_worker(client, f"the scheduler {address}", CONNECT_S)
            return client, f"the scheduler {address}", self.workers
        workers = self.workers or 2
        limits = thread_limits(joblib.cpu_count() // workers)
        # a worker that died is begun anew; one that takes longer than this to begin would be given up for ever
        stack.enter_context(needed("dask.config", EXTRA).set({"distributed.deploy.lost-worker-timeout": WORKERLESS_S}))
        if self.cluster is None:
            cluster = stack.enter_context(
                distributed.LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    env=limits,
                    security=True,
                    dashboard_address=None,
                    preload=[PRELOAD],
                    silence_logs=logging.ERROR,
                )
            )
            return stack.enter_context(distributed.Client(cluster)), "Dask on this machine", workers
        if section is None or isinstance(section, RunningScheduler):
            there = ", ".join(sorted(place.clusters)) or "none"
            raise SettingsError(f"compute.cluster={self.cluster}: not in the site file", f"`clusters` there: {there}")
        shared = place.run.resolve() / WORKERS
        shared.mkdir(parents=True, exist_ok=True)
        cluster = stack.enter_context(section.started(workers, thread_limits(section.cores), shared))
        client = stack.enter_context(distributed.Client(cluster))
        _await_worker(client, f"the cluster {self.cluster}", section.wait_s)
        return client, f"the cluster {self.cluster}", workers


@contextmanager
def _connected(distributed: Any, address: str) -> Iterator[Any]:
    try:
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ProgramNotFoundError(
            f"{address}: no scheduler of Dask answers there ({type(error).__name__}: {error})",
            "start one (`dask scheduler`), or correct the address; its TLS files stand in Dask's own configuration",
        ) from error
    with client:
        yield client


def _await_worker(client: Any, where: str, wait_s: float) -> None:
    try:
        client.wait_for_workers(1, timeout=wait_s)
    except TimeoutError as error:
        raise ProgramNotFoundError(
            f"{where} has no worker, after {wait_s:g} s", "start some, or wait longer"
        ) from error


class DaskHands:
    """Does blocks on Dask's workers, those with memory enough."""

    apart = True

    def __init__(self, distributed: Any, client: Any, where: str, wanted: int | None, notes: Path) -> None:
        self._distributed = distributed
        self._client = client
        self._where = where
        self._notes = notes
        self._stopped = False
        self._lock = threading.Lock()
        self._futures: set[Any] = set()
        self._told: set[str] = set()
        places = self._places(BLOCK_BYTES)
        fitting = sum(places.values())
        if any(places[name] < int(worker["nthreads"]) for name, worker in self._workers().items()):
            self._say_once(f"{where}: {fitting} blocks at once, for want of memory on its workers")
        self.at_once = max(1, wanted or fitting)

    def do(self, call: Callable[..., Document], arguments: Mapping[str, Any]) -> str:
        """Do a block on a worker; see `tasks.stage.Hands`.

        Raises
        ------
        ProgramFailedError
            If as many workers died at it as the scheduler allows.
        ProgramNotFoundError
            If the scheduler is lost, or all its workers are.
        """
        if self._stopped:
            raise CancelledError
        block = CrystalBlock(call, dict(arguments), self._notes, code_version(), 1)
        need = memory_of(arguments)
        while True:
            places = self._places(need)
            fitting = [name for name, number in places.items() if number]
            if places and not fitting:
                self._say_once(
                    f"{block.name}: needs {need / 2**30:.1f} GiB, no worker has them: it is done in this process"
                )
                return done_here(call, arguments)
            # a worker that begins anew has another address: none is named without need
            named = fitting if len(fitting) < len(places) else None
            if (done := self._done(block, named)) is not None:
                return done

    def _done(self, block: CrystalBlock, named: list[str] | None) -> str | None:
        """Return what came of a block; None if all workers that were named for it are gone."""
        key = f"{block.name}-{uuid.uuid4().hex[:8]}"
        future = self._client.submit(do_block, block, key=key, pure=False, workers=named)
        with self._lock:
            self._futures.add(future)
        try:
            return self._awaited(future, named)
        except self._distributed.KilledWorker as error:
            raise ProgramFailedError(
                f"{block.name}: too many workers died at it, the last {error.last_worker.address}",
                "if the system or Dask killed them for want of memory, use larger workers",
            ) from error
        except (CancelledError, asyncio.CancelledError, self._distributed.comm.CommClosedError) as error:
            if self._stopped:
                raise CancelledError from None
            raise ProgramNotFoundError(
                f"{self._where}: lost while {block.name} was done ({error})", "the same command goes on from there"
            ) from error
        finally:
            with self._lock:
                self._futures.discard(future)
            future.release()  # what came of it stands in the run folder: Dask need not keep it, nor make it again

    def _awaited(self, future: Any, named: list[str] | None) -> str | None:
        """Return the result of a future, as long as there are workers who may bring it."""
        seen = time.monotonic()
        while True:
            try:
                return str(future.result(timeout=LOOK_S))
            except TimeoutError:
                if future.done():
                    return str(future.result())
            workers = self._workers()
            if workers and named is not None and not workers.keys() & set(named):
                future.cancel()
                return None
            if workers:
                seen = time.monotonic()
            elif time.monotonic() - seen > WORKERLESS_S:
                future.cancel()
                raise ProgramNotFoundError(
                    f"{self._where}: without any worker for {WORKERLESS_S:g} s", "start some; the same command goes on"
                )
            else:
                self._say_once(f"{self._where}: has lost all its workers, and waits for others")

    def stop(self) -> None:
        """Let go of all blocks; one that a worker of others is at goes on to its end, and is harmless."""
        self._stopped = True
        with self._lock:
            futures = list(self._futures)
        with contextlib.suppress(OSError, RuntimeError):
            self._client.cancel(futures, force=True)

    def _workers(self) -> dict[str, Any]:
        return dict(self._client.scheduler_info(n_workers=-1)["workers"])

    def _places(self, need: int) -> dict[str, int]:
        """Return how many blocks of such a need fit on each worker at once; one without a limit has memory enough."""
        return {
            name: min(int(worker["nthreads"]), int(worker["memory_limit"] or need * worker["nthreads"]) // need)
            for name, worker in self._workers().items()
        }

    def _say_once(self, text: str) -> None:
        with self._lock:
            new = text not in self._told
            self._told.add(text)
        if new:
            log.warning("%s", text)
