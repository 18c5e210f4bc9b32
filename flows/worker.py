"""Prefect's worker of processes, as our pools need it: ``python -m flows.worker --pool POOL --name NAME``.

When the process of a run dies, Prefect's worker loads the run's flow into itself, to look for hooks of a crash or a
cancellation. Ours have none, as the janitor looks after them; and the flow brings all of the science with it. Measured
on Prefect 3.8.8: 103 MiB at the first such run, 0.7 to 1.6 MiB more at each that follows, where ended runs add nothing.

It also makes a pool that is not there, of Prefect's own template, by which a request may bring commands. This one waits
for `flows.deploy` to make it.
"""

import runpy
import sys
from functools import cache
from typing import Any

from prefect import Flow
from prefect.workers import process

from adapters.host.give_back import give_back


async def without_hooks(*_: object, **__: object) -> Flow[..., Any]:
    """Return a flow that has no hooks, in place of that of a run."""
    return _hookless()


@cache
def _hookless() -> Flow[..., Any]:
    def nothing() -> None: ...

    return Flow(nothing, name="without-hooks")


def main() -> None:
    """Become the worker; the arguments are those of ``prefect worker start``."""
    vars(process)["load_flow_from_flow_run"] = without_hooks
    give_back()
    sys.argv = ["prefect", "worker", "start", "--type", "process", "--no-create-pool-if-not-found", *sys.argv[1:]]
    runpy.run_module("prefect", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
