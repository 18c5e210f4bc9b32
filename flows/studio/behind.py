"""What takes seconds to make, made in a thread behind the page: the newest that is wanted, of each kind."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from bokeh.document import Document


class Behind:
    """One thread of a session. What is made reaches the page in the page's own turn."""

    def __init__(self, doc: Document) -> None:
        self._doc = doc
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="studio behind")
        self._wanted: dict[str, tuple[Any, Future[Any]]] = {}
        doc.on_session_destroyed(lambda _context: self._pool.shutdown(wait=False, cancel_futures=True))

    def want(self, kind: str, key: object, make: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Have `then` called with what `make` returns, or with the error that it raises.

        What was wanted before of this kind with another key is dropped; with the same key nothing is begun anew.
        """
        if kind in self._wanted:
            last_key, last = self._wanted[kind]
            if last_key == key and not last.cancelled():
                return
            last.cancel()
        future = self._pool.submit(make)
        self._wanted[kind] = (key, future)
        future.add_done_callback(partial(self._made, kind, then))

    def _made(self, kind: str, then: Callable[[Any], None], future: Future[Any]) -> None:
        if not future.cancelled():
            self._doc.add_next_tick_callback(lambda: self._tell(kind, then, future))

    def _tell(self, kind: str, then: Callable[[Any], None], future: Future[Any]) -> None:
        if kind in self._wanted and self._wanted[kind][1] is future:
            del self._wanted[kind]
            error = future.exception()
            then(error if error is not None else future.result())
