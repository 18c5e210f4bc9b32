"""Registering with SciCat by scitacean (https://scicatproject.github.io/scitacean): each data set once.

An upload of scitacean's in one call (`upload_new_dataset_now`) says nothing of a data set that it made before its files
or pictures were refused, so that asking again would make a second one. Here the parts are sent one by one: the data
set, whose identifier the caller keeps at once, then what the server does not have of it yet. A data set of which the
identifier was lost on the way is found by a keyword that is its own.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import httpx

from adapters.catalogue.entry import CatalogueEntry
from tasks.model import ProgramFailedError, ProgramNotFoundError

if TYPE_CHECKING:
    import scitacean

TIMEOUT = timedelta(seconds=20)
"""For an answer of the server to begin, and between its parts. Chosen, not measured: nobody waits for it."""
KEY_PREFIX = "apertura:"
"""Of the keyword by which a data set is found again."""
SAID = 500
"""Letters kept of what a server says: SciCat lists every field that is wrong."""
STATUS = re.compile(r"Error in operation '\w+': (\d{3}) ")
"""How scitacean 26 reports a status of HTTP: in the text of its error, nowhere else."""
OURS_TO_WAIT = {"401", "403", "408", "425", "429"}
"""Statuses (RFC 9110, RFC 6585) that say nothing of a data set: the token is refused, or the server is too busy."""


class CatalogueAwayError(ProgramFailedError):
    """The catalogue does not answer, or lets nobody in: nothing else can be registered now."""


class SciCat:
    """A SciCat server, by a client of scitacean."""

    def __init__(self, client: "scitacean.Client") -> None:
        self._server = client.scicat

    @classmethod
    def connect(cls, url: str, token: str) -> "SciCat":
        """Return the server at a URL; nothing is sent yet.

        Raises
        ------
        ProgramNotFoundError
            If scitacean is not installed.
        CatalogueAwayError
            If the token has expired.
        """
        if find_spec("scitacean") is None:
            raise ProgramNotFoundError("scitacean is not installed", "pip install -c constraints.txt '.[scicat]'")
        from scitacean import Client
        from scitacean.client import ScicatClient

        with _typed(url):
            client = Client.from_token(url=url, token=token, allow_http=True)  # which URLs may be: the site file says
            low = ScicatClient.from_token(url=url, token=token, timeout=TIMEOUT, allow_http=True)
        return cls(Client(client=low, file_transfer=None, profile=client.profile))

    def register(self, entry: CatalogueEntry, known: str | None, keep: Callable[[str], None]) -> str:
        """Register a data set, or what is still missing of it; return its identifier.

        Parameters
        ----------
        known
            Its identifier, if it was registered before.
        keep
            Is given the identifier as soon as there is one.

        Raises
        ------
        CatalogueAwayError
            If the server does not answer or lets nobody in.
        ProgramFailedError
            If it refuses this data set.
        """
        from scitacean import PID

        dataset = _dataset(entry)
        with _typed(entry.name):
            pid = known or self._find(entry.key) or self._create(dataset)
            keep(pid)
            there = self._server.get_dataset_model(PID.parse(pid), attachments=True, datablocks=True)
            dataset = dataset.replace(_read_only={"pid": PID.parse(pid)})
            if not there.origdatablocks:
                for block in dataset.make_datablock_upload_models().orig_datablocks or ():
                    self._server.create_orig_datablock(block)
            shown = {one.caption for one in there.attachments or ()}
            for picture in dataset.make_attachment_upload_models():
                if picture.caption not in shown:
                    self._server.create_attachment(picture)
        return pid

    def _find(self, key: str) -> str | None:
        """Return the identifier of the data set with a key; None if there is none."""
        keyword = KEY_PREFIX + key
        found = self._server.query_datasets({"keywords": [keyword]}, limit=1, order="creationTime:asc")
        return next((str(one.pid) for one in found if one.pid is not None and keyword in (one.keywords or ())), None)

    def _create(self, dataset: Any) -> str:
        model = dataset.make_upload_model()
        self._server.validate_dataset_model(model)
        return str(self._server.create_dataset_model(model).pid)


def _dataset(entry: CatalogueEntry) -> Any:
    """Return an entry as scitacean has it."""
    from scitacean import PID, Attachment, Dataset, File, RemotePath, Thumbnail

    raw = entry.kind == "raw"
    dataset = Dataset(
        type=entry.kind,
        name=entry.name,
        description=entry.description,
        source_folder=RemotePath(entry.folder),
        creation_time=entry.created,
        owner=entry.owner,
        contact_email=entry.contact_email,
        owner_group=entry.owner_group,
        access_groups=list(entry.access_groups),
        proposal_ids=[entry.proposal] if entry.proposal else None,
        keywords=[KEY_PREFIX + entry.key, *entry.keywords],
        principal_investigators=[entry.owner],  # who answers for it
        creation_location=entry.location,
        input_datasets=None if raw else [PID.parse(one) for one in entry.inputs],
        used_software=None if raw else list(entry.software),
        meta=dict(entry.metadata),
    )
    dataset.add_files(*(File.from_remote(one.path, size=one.size, creation_time=one.changed) for one in entry.files))
    dataset.attachments = [
        Attachment(
            caption=one.caption,
            owner_group=entry.owner_group,
            access_groups=list(entry.access_groups),
            thumbnail=Thumbnail(mime="image/png", data=one.png),
        )
        for one in entry.thumbnails
    ]
    return dataset


@contextmanager
def _typed(what: str) -> Iterator[None]:
    """Turn the errors of scitacean and httpx into ours."""
    try:
        yield
    except httpx.HTTPError as error:
        raise CatalogueAwayError(f"the catalogue does not answer: {type(error).__name__}: {error}"[:SAID]) from error
    except (RuntimeError, ValueError) as error:  # scitacean's own are RuntimeErrors; pydantic's ValueErrors
        said = " ".join(str(error).split())[:SAID]
        status = STATUS.match(said)
        if "login has expired" in said:
            raise CatalogueAwayError("the token of the catalogue has expired", "put a new one into its file") from None
        if status and (status[1] in OURS_TO_WAIT or status[1].startswith("5")):
            raise CatalogueAwayError(f"the catalogue answers {said.partition(': ')[2]}") from error
        raise ProgramFailedError(f"{what}: the catalogue refuses it: {said}") from error
