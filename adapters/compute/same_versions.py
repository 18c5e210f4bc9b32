"""Whether a scheduler and its workers run what this process runs: results must not depend on where a block is done."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

from tasks.model import ProgramNotFoundError
from tasks.stage import code_version

TALKING = ("python", "dask", "distributed")
"""What must be the same everywhere to be understood at all."""
COMPUTING = ("numpy", "scipy", "numba", "gemmi", "cctbx-base")
"""What the digits of a result may depend on."""
CODE = "apertura's code"


def require_same_versions(client: Any, where: str) -> None:
    """Compare Python, Dask, our code and what computes with those of a scheduler and all its workers.

    Raises
    ------
    ProgramNotFoundError
        Naming every difference.
    """
    told = client.get_versions(check=False)
    mine = _talking(told["client"])
    places = {"the scheduler": told["scheduler"], **_named(told["workers"])}
    _compare(where, mine, {place: _talking(there) for place, there in places.items()})
    wanted = {name: version(name) for name in COMPUTING} | {CODE: code_version()}
    _compare(where, wanted, _named(client.run(_look(COMPUTING, CODE))))


def _compare(where: str, wanted: Mapping[str, str | None], found: Mapping[str, Mapping[str, str | None]]) -> None:
    wrong = [
        f"{name} {there[name] or 'missing'} on {place}, here {wanted[name]}"
        for place, there in found.items()
        for name in wanted
        if there[name] != wanted[name]
    ]
    if wrong:
        raise ProgramNotFoundError(
            f"{where} runs other versions: {'; '.join(wrong[:5])}", "install the same there, by one constraints.txt"
        )


def _talking(told: Mapping[str, Any]) -> dict[str, str | None]:
    packages = told["packages"]
    return {name: ".".join(str(packages[name]).split(".")[: 2 if name == "python" else None]) for name in TALKING}


def _named(workers: Mapping[str, Any]) -> dict[str, Any]:
    return {f"worker {name}": there for name, there in workers.items()}


def _look(names: tuple[str, ...], code: str) -> Callable[[], dict[str, str | None]]:
    """Return a function for a process that may have none of our modules: it goes there by its code, not by its name."""

    def look() -> dict[str, str | None]:
        from importlib.metadata import PackageNotFoundError, version

        found: dict[str, str | None] = {}
        for name in names:
            try:
                found[name] = version(name)
            except PackageNotFoundError:
                found[name] = None
        try:
            from tasks.stage import code_version

            found[code] = code_version()
        except ImportError:
            found[code] = None
        return found

    return look
