"""Units of work: resumable, and Prefect tasks when they run inside a Prefect flow run.

The only module of tasks that knows Prefect, and that lazily: without a flow run around it a unit of work is a
plain call. Resuming is the same in both cases and lies in the run folder: a unit writes its files to a folder of a
temporary name that is renamed when its document, with the hash of its inputs, settings and code, has been written.
That folder is of one process alone, so that a unit may be done twice, at the same time and on two machines.

Where a unit is done is not its business: `handed_to` hands those of a block of code to other processes.
"""

import contextvars
import functools
import hashlib
import inspect
import json
import logging
import os
import re
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, cast, get_type_hints

from pydantic import BaseModel

from tasks.model import Document, ProgramFailedError, SourceError, is_retryable

log = logging.getLogger("apertura.stage")

P = ParamSpec("P")
D = TypeVar("D", bound=Document)

DOCUMENT_NAME = "document.json"
ABANDONED_S = 7 * 86400.0
"""After which unfinished files of a process on another machine, which cannot be asked, are nobody's. Chosen, not
measured: no unit of work runs for a week."""


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
            return _resume_or_run(_Unit(function, call, returns), bound.arguments)

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


class Hands(Protocol):
    """Where units of work are done, if not in the thread that asks for them."""

    def do(self, call: Callable[..., Document], arguments: Mapping[str, Any]) -> str:
        """Call a unit of work with its arguments somewhere; return the text of the document that it left.

        `call` is found by its name and `arguments` can be pickled: documents, engines and plain values.
        """
        ...


_HANDS: contextvars.ContextVar[Hands | None] = contextvars.ContextVar("apertura_hands", default=None)


@contextmanager
def handed_to(hands: Hands | None) -> Iterator[None]:
    """Let `hands` do the units of work that are asked for in this context; None: they are done here."""
    token = _HANDS.set(hands)
    try:
        yield
    finally:
        _HANDS.reset(token)


def done_here(call: Callable[..., Document], arguments: Mapping[str, Any]) -> str:
    """Do a unit of work in this thread; return the text of the document that it left."""
    with handed_to(None):
        call(**arguments)
    return (Path(arguments["workdir"]) / DOCUMENT_NAME).read_text(encoding="utf-8")


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


class _Unit(NamedTuple):
    """A unit of work: what computes it, the name by which others find it, and what it returns."""

    function: Callable[..., Any]
    call: Callable[..., Any]
    returns: type[Document]


def _resume_or_run(unit: _Unit, arguments: Mapping[str, Any]) -> Any:
    final = Path(arguments["workdir"]).resolve()
    key = _key(unit.function, arguments)
    if (found := _finished(final, key, unit.returns)) is not None:
        log.info("%s: taken from the run folder", final.name)
        return found
    if (hands := _HANDS.get()) is not None:
        record = json.loads(hands.do(unit.call, {**arguments, "workdir": final}))
        if record["key"] != key:
            raise ProgramFailedError(
                f"{final.name}: the process that did it has other code or read other files",
                "let the workers have this version of apertura, and see the same files under the same paths",
            )
        return unit.returns.model_validate(record["document"], context={"root": final})
    partial = _partial(final)
    document = unit.function(**{**arguments, "workdir": partial})
    record = {"key": key, "document": document.model_dump(mode="json", context={"root": partial})}
    (partial / DOCUMENT_NAME).write_text(json.dumps(record, indent=1), encoding="utf-8")
    _put(partial, final, lambda: _finished(final, key, unit.returns) is not None)
    return unit.returns.model_validate(record["document"], context={"root": final})


def _here() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]


def _partial(final: Path) -> Path:
    """Return a new folder for the files of a unit, of this process alone; remove those that dead ones left."""
    final.parent.mkdir(parents=True, exist_ok=True)
    for left in final.parent.glob(f".{final.name}.*.partial"):
        if _is_left(left):
            shutil.rmtree(left, ignore_errors=True)
    mark = f"{_here()}-{os.getpid():x}-{secrets.token_hex(2)}"
    partial = final.with_name(f".{final.name}.{mark}.partial")
    partial.mkdir()
    return partial


def beside(workdir: Path, what: str) -> Path:
    """Return a folder beside that of a unit of work, the same whichever process does it.

    For what outlives a unit that is interrupted; whoever puts things there tells them by their inputs.
    """
    own = re.fullmatch(r"\.(.+)\.[0-9a-f]+-[0-9a-f]+-[0-9a-f]+\.partial", workdir.name)
    return workdir.with_name(f".{own[1] if own else workdir.name}.{what}")


def _is_left(partial: Path) -> bool:
    """Tell whether the process that fills a folder is dead; one of another machine is taken for dead after a week."""
    host, _, rest = partial.name.split(".")[-2].partition("-")
    try:
        if host != _here():
            return time.time() - partial.stat().st_mtime > ABANDONED_S
        os.kill(int(rest.partition("-")[0], 16), 0)
    except (ProcessLookupError, ValueError):
        return True
    except OSError:  # it is gone already, or another user's process
        return False
    return False


def _put(partial: Path, final: Path, is_there: Callable[[], bool]) -> None:
    """Give a finished folder its name. Where another process was faster with the same result, that stays."""
    while not is_there():
        stale = partial.with_name(f"{partial.name}.stale")
        with suppress(FileNotFoundError):
            final.rename(stale)
        shutil.rmtree(stale, ignore_errors=True)
        try:
            partial.rename(final)
        except OSError:
            if not final.is_dir():
                raise
        else:
            return
    shutil.rmtree(partial, ignore_errors=True)


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
