"""Units of work: resumable, and Prefect tasks when they run inside a Prefect flow run.

The only module of tasks that knows Prefect, and that lazily: without a flow run around it a unit of work is a
plain call. Resuming is the same in both cases and lies in the run folder: a unit writes its files to a folder of a
temporary name that is renamed when its document, with the hash of its inputs, settings and code, has been written.
"""

import functools
import hashlib
import inspect
import json
import logging
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast, get_type_hints

from pydantic import BaseModel

from tasks.model import Document, SourceError, is_retryable

log = logging.getLogger("apertura.stage")

P = ParamSpec("P")
D = TypeVar("D", bound=Document)

DOCUMENT_NAME = "document.json"


def stage(
    *, name: str, summary: Callable[[D], str] | None = None, retries: int = 1
) -> Callable[[Callable[P, D]], Callable[P, D]]:
    """Make a function a unit of work.

    The function takes documents, engines and plain values, and ``workdir``, the folder for its files. It is called
    with a new, empty folder in place of ``workdir``; what it returns is written there as ``document.json`` and the
    folder renamed to ``workdir``. If ``workdir`` already holds the document of equal inputs, settings and code, that
    is returned and nothing is run.

    Parameters
    ----------
    name
        Run name, formatted with the function's arguments: ``"integrate {frames.id}"``.
    summary
        Turns the document into Markdown, shown in Prefect's UI as an artifact.
    retries
        How often Prefect tries again after an error for which `is_retryable` holds.
    """

    def decorate(function: Callable[P, D]) -> Callable[P, D]:
        signature = inspect.signature(function)
        returns = cast(type[D], get_type_hints(function)["return"])

        @functools.wraps(function)
        def unit(*args: P.args, **kwargs: P.kwargs) -> D:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return _resume_or_run(function, bound.arguments, returns)

        @functools.wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> D:
            if not _inside_flow_run():
                return unit(*args, **kwargs)
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            return _as_prefect_task(unit, run_name(bound.arguments), retries, summary)(*args, **kwargs)

        def run_name(arguments: Mapping[str, Any]) -> str:
            return name.format(**arguments)

        return call

    return decorate


def tell(show: Callable[[], object]) -> None:
    """Show something in Prefect's UI, if its server can be reached: what is computed does not depend on it."""
    import httpx
    from prefect.exceptions import PrefectException

    try:
        show()
    except (httpx.HTTPError, PrefectException, RuntimeError) as error:
        log.warning("not shown in the UI: %s: %s", type(error).__name__, error)


def fingerprint(values: Mapping[str, Any]) -> str:
    """Return the SHA-256 of documents, models and plain values; files count by their bytes, not by their paths."""
    text = json.dumps(_canonical(values), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@functools.cache
def code_version() -> str:
    """Return a hash of the sources of tasks and adapters: changed code does not take up an old result."""
    root = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for package in ("tasks", "adapters"):
        for source in sorted((root / package).rglob("*.py")):
            digest.update(source.relative_to(root).as_posix().encode())
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def unit_key(unit: Callable[..., Any], **arguments: Any) -> str:
    """Return the hash of inputs, settings and code by which a unit of work knows its result again."""
    function = inspect.unwrap(unit)
    bound = inspect.signature(function).bind(workdir=None, **arguments)
    bound.apply_defaults()
    return _key(function, bound.arguments)


def recorded_key(folder: Path) -> str | None:
    """Return that hash of a finished unit of work; None if there is none."""
    try:
        return str(json.loads((folder / DOCUMENT_NAME).read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_document(folder: Path, kind: type[D]) -> D:
    """Return the document of a finished unit of work, whatever its inputs were.

    Raises
    ------
    SourceError
        If there is none, or it is of another kind.
    """
    try:
        record = json.loads((folder / DOCUMENT_NAME).read_text(encoding="utf-8"))
        return kind.model_validate(record["document"], context={"root": folder})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{folder / DOCUMENT_NAME}: not the document of a finished step", "run it again") from error


def _resume_or_run(function: Callable[..., D], arguments: Mapping[str, Any], returns: type[D]) -> D:
    final = Path(arguments["workdir"]).resolve()
    key = _key(function, arguments)
    if (found := _finished(final, key, returns)) is not None:
        log.info("%s: taken from the run folder", final.name)
        return found
    partial = final.with_name(f".{final.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    document = function(**{**arguments, "workdir": partial})
    record = {"key": key, "document": document.model_dump(mode="json", context={"root": partial})}
    (partial / DOCUMENT_NAME).write_text(json.dumps(record, indent=1), encoding="utf-8")
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    return returns.model_validate(record["document"], context={"root": final})


def _key(function: Callable[..., Any], arguments: Mapping[str, Any]) -> str:
    inputs = {key: value for key, value in arguments.items() if key != "workdir"}
    return fingerprint({"inputs": inputs, "function": function.__qualname__, "code": code_version()})


def _finished(folder: Path, key: str, returns: type[D]) -> D | None:
    try:
        record = json.loads((folder / DOCUMENT_NAME).read_text(encoding="utf-8"))
        if record["key"] != key:
            return None
        return returns.model_validate(record["document"], context={"root": folder})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _canonical(value: Any) -> Any:
    if isinstance(value, BaseModel):
        fields = {name: _canonical(getattr(value, name)) for name in type(value).model_fields}
        return fields["sha256"] if {"path", "sha256"} == set(fields) else {"": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        return [_canonical(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return value


def _inside_flow_run() -> bool:
    if "prefect" not in sys.modules:
        return False
    from prefect.context import FlowRunContext, TaskRunContext

    return FlowRunContext.get() is not None and TaskRunContext.get() is None


def _as_prefect_task(
    unit: Callable[P, D], run_name: str, retries: int, summary: Callable[[D], str] | None
) -> Callable[P, D]:
    from prefect import task
    from prefect.artifacts import create_markdown_artifact
    from prefect.cache_policies import NO_CACHE

    @functools.wraps(unit)
    def body(*args: P.args, **kwargs: P.kwargs) -> D:
        document = unit(*args, **kwargs)
        if summary is not None:
            text = summary(document)
            tell(lambda: create_markdown_artifact(text, key=_artifact_key(run_name), description=run_name))
        return document

    prefect_task: Any = task
    made = prefect_task(
        body,
        name=run_name.split(" ", maxsplit=1)[0],
        task_run_name=run_name,
        cache_policy=NO_CACHE,  # one truth: the run folder
        persist_result=False,
        retries=retries,
        retry_delay_seconds=[2.0 * 2**attempt for attempt in range(retries)],
        retry_condition_fn=_retry_condition,
    )
    return cast("Callable[P, D]", made)


def _retry_condition(_task: Any, _run: Any, state: Any) -> bool:
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_retryable(error)


def _artifact_key(text: str) -> str:
    return "".join(char if char.isalnum() else "-" for char in text.lower()).strip("-")
