"""The worker process: ``worker.py requests.json replies.json``.

cctbx-base (2025.11) dies when it is imported after scipy's extensions, and some of its assertions abort. It lives
in this process only, and is the first import of it.
"""
# ruff: noqa: I001

import cctbx.xray
import smtbx.refinement

import sys
from collections.abc import Sequence
from pathlib import Path

from adapters.cctbx import least_squares
from adapters.cctbx.intensities import merge
from adapters.cctbx.messages import (
    Batch,
    Fitted,
    Masked,
    MaskRequest,
    MergedReply,
    MergeRequest,
    Replies,
    Reply,
    Request,
    WorkerFailure,
)
from tasks.model import DivergedError, InputError

CCTBX_FIRST = (cctbx.xray, smtbx.refinement)


def answer(request: Request) -> Reply:
    """Answer one request; what the data are to blame for is a `WorkerFailure`, anything else ends the process."""
    try:
        if isinstance(request, MergeRequest):
            return MergedReply(intensities=merge(request))
        if isinstance(request, MaskRequest):
            return Masked(solvent=least_squares.masked(request))
        return Fitted(fit=least_squares.fit(request))
    except DivergedError as error:
        return WorkerFailure(kind="diverged", message=error.message)
    except InputError as error:
        return WorkerFailure(kind="input", message=error.message)


def main(arguments: Sequence[str]) -> None:
    """Answer the requests of a file in order, up to the first failure; the replies appear whole or not at all."""
    source, target = Path(arguments[0]), Path(arguments[1])
    batch = Batch.model_validate_json(source.read_text(encoding="utf-8"), context={"root": source.parent})
    replies: list[Reply] = []
    for request in batch.requests:
        replies.append(answer(request))
        if isinstance(replies[-1], WorkerFailure):
            break
    text = Replies(replies=tuple(replies), cctbx_version=_version()).model_dump_json(context={"root": source.parent})
    partial = target.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    partial.rename(target)


def _version() -> str:
    from importlib.metadata import version

    return version("cctbx-base")


if __name__ == "__main__":
    main(sys.argv[1:])
