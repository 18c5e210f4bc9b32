"""Clusters that the site file names, whose scheduler a run starts itself: by Slurm, or in Kubernetes.

The packages that do so are optional, and asked for only where a run names such a section.
"""

import importlib
import secrets
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from tasks.model import Document, ProgramNotFoundError

Line = Annotated[str, Field(max_length=1000)]


class SlurmCluster(Document):
    """Workers as jobs of Slurm (dask-jobqueue); a job is one worker."""

    kind: Literal["slurm"]
    queue: str | None = Field(default=None, description="partition; none: Slurm's default")
    account: str | None = Field(default=None, description="who pays")
    cores: int = Field(default=1, ge=1, le=1024, description="of a worker, which does one block at a time")
    memory_gib: float = Field(default=4.0, gt=0, description="of a worker")
    walltime: str = Field(default="02:00:00", pattern=r"^(\d+-)?\d{1,3}:\d\d:\d\d$", description="of a worker's job")
    interface: str | None = Field(default=None, description="network between the nodes, such as ib0; none: by route")
    prologue: tuple[Line, ...] = Field(default=(), description="shell lines before a worker starts: modules, PATH")
    directives: tuple[Line, ...] = Field(default=(), description="further options of sbatch, such as --qos=short")
    scratch: str | None = Field(default=None, description="folder of a node for what a worker spills")
    wait_s: float = Field(default=3600.0, gt=0, description="for the first worker")

    def started(self, workers: int, environment: dict[str, str], shared: Path) -> Any:
        """Return a cluster of dask-jobqueue that has asked for so many workers.

        Scheduler and workers speak TLS, by keys of this run alone: they lie in `shared`, a folder that all nodes see,
        and so do the logs of the jobs.
        """
        jobqueue = needed("dask_jobqueue", "dask-jobqueue")
        lines = [f"export {name}={value}" for name, value in environment.items()]
        cluster = jobqueue.SLURMCluster(
            queue=self.queue,
            account=self.account,
            cores=1,
            job_cpu=self.cores,
            processes=1,
            memory=f"{self.memory_gib:g}GiB",
            walltime=self.walltime,
            interface=self.interface,
            local_directory=self.scratch,
            security=True,
            shared_temp_directory=str(shared),
            log_directory=str(shared),
            scheduler_options={"dashboard_address": "127.0.0.1:0"},
            job_script_prologue=[*lines, *self.prologue],
            job_extra_directives=list(self.directives),
        )
        cluster.scale(jobs=workers)
        return cluster


class KubernetesCluster(Document):
    """Workers as pods (dask-kubernetes and its operator); the folders of runs and data must be mounted alike."""

    kind: Literal["kubernetes"]
    image: str = Field(description="with this version of apertura, dask and distributed")
    namespace: str = Field(default="default")
    cores: int = Field(default=1, ge=1, le=1024, description="of a worker, which does one block at a time")
    memory_gib: float = Field(default=4.0, gt=0, description="of a worker")
    claims: dict[str, str] = Field(default={}, description="persistent volume claims and where they are mounted")
    wait_s: float = Field(default=600.0, gt=0, description="for the first worker")

    def started(self, workers: int, environment: dict[str, str], shared: Path) -> Any:  # noqa: ARG002 the port's
        """Return a cluster of dask-kubernetes that has asked for so many workers; it is of this run alone."""
        operator = needed("dask_kubernetes.operator", "dask-kubernetes")
        spec = operator.make_cluster_spec(
            name=f"apertura-{secrets.token_hex(4)}",
            image=self.image,
            n_workers=workers,
            env=environment,
            resources={kind: {"cpu": str(self.cores), "memory": f"{self.memory_gib:g}Gi"} for kind in _BOTH},
            worker_command=["dask", "worker", "--nthreads", "1"],
        )
        mounts = [{"name": name, "mountPath": place} for name, place in self.claims.items()]
        volumes = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in self.claims]
        pod = spec["spec"]["worker"]["spec"]
        pod["volumes"] = [*pod.get("volumes", []), *volumes]
        pod["containers"][0]["volumeMounts"] = [*pod["containers"][0].get("volumeMounts", []), *mounts]
        return operator.KubeCluster(namespace=self.namespace, custom_cluster_spec=spec)


_BOTH = ("requests", "limits")


class RunningScheduler(Document):
    """A scheduler of Dask that others keep running."""

    kind: Literal["running"]
    address: str = Field(max_length=500, description="tls://HOST:8786; its TLS files stand in Dask's own configuration")


ClusterSection = Annotated[SlurmCluster | KubernetesCluster | RunningScheduler, Field(discriminator="kind")]


def needed(module: str, package: str) -> Any:
    """Return an optional module.

    Raises
    ------
    ProgramNotFoundError
        If it is not installed, with the package that has it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ProgramNotFoundError(f"{module} is not installed ({error})", f"pip install '{package}'") from error
