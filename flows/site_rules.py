"""What a site file says of proposals: whose a data set is, and what holds for its runs."""

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr

from tasks.model import Document, SettingsError

QueueName = Literal["urgent", "default", "reprocess"]
NAME_MAX = 100
"""Letters of a proposal or an instrument: what a tag of a run shows. Chosen, not measured."""


def absolute(path: Path) -> Path:
    """Return an absolute path.

    Raises
    ------
    ValueError
        If it is relative.
    """
    if not path.is_absolute():
        raise ValueError(f"{path} is not an absolute path")
    return path


Folder = Annotated[Path, AfterValidator(absolute)]


def with_group(pattern: str, group: str) -> str:
    """Return a regular expression that has a group of this name.

    Raises
    ------
    ValueError
        If it is none, or has no such group.
    """
    if group not in re.compile(_expression(pattern)).groupindex:
        raise ValueError(f"{pattern!r} has no group (?P<{group}>...)")
    return pattern


def _expression(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from error
    return pattern


def _naming_a_proposal(pattern: str) -> str:
    return with_group(pattern, "proposal")


def _mode(text: str) -> str:
    if not re.fullmatch(r"[02]?7[057][05]", text):
        raise ValueError(f"{text!r} is not a mode of folders: '700', '750', '770', '755' or '775', in quotes")
    return text


def _secure(url: str) -> str:
    if not re.match(r"https://|http://(127\.0\.0\.1|localhost)[:/]", url):
        raise ValueError(f"{url} begins with neither https:// nor http://127.0.0.1: the token would be readable")
    return url


Expression = Annotated[str, Field(max_length=1000), AfterValidator(_expression)]
GroupName = Annotated[str, Field(min_length=1, max_length=NAME_MAX)]


class ProposalPattern(Document):
    """How the proposal of a data set is found: in the path of its folder, symbolic links resolved."""

    pattern: Annotated[str, Field(max_length=1000), AfterValidator(_naming_a_proposal)] = Field(
        description="regular expression searched in the path, with (?P<proposal>...), perhaps (?P<instrument>...)"
    )


class Conditions(Document):
    """What holds for the runs of a data set; what is None is not stated."""

    queue: QueueName | None = Field(default=None, description="work queue of the runs that the watcher makes")
    runs_at_once: int | None = Field(default=None, ge=1, description="of one proposal; the others wait")
    quota_gib: float | None = Field(default=None, gt=0, description="in run folders of one proposal; then it waits")
    solved_days: float | None = Field(default=None, gt=0, description="in place of the site's retention")
    group: str | None = Field(default=None, pattern=r"^[a-z_][a-z0-9_.-]{0,31}$", description="of run folders")
    mode: Annotated[str, AfterValidator(_mode)] | None = Field(default=None, description="of run folders, octal")
    owner_group: GroupName | None = Field(default=None, description="in the catalogue; may hold {proposal}")
    access_groups: tuple[GroupName, ...] | None = Field(default=None, description="the same")


class DataRule(Conditions):
    """What holds for the data sets of a proposal, of an instrument, or of both; of all where neither is named."""

    proposal: Expression | None = Field(default=None, description="regular expression of the whole name")
    instrument: Expression | None = Field(default=None, description="regular expression of the whole name")

    def fits(self, proposal: str | None, instrument: str | None) -> bool:
        """Tell whether the rule is about data of this proposal and instrument."""
        asked = ((self.proposal, proposal), (self.instrument, instrument))
        return all(pattern is None or re.fullmatch(pattern, name or "") for pattern, name in asked)


class Catalogue(Document):
    """A SciCat server that finished runs are registered with."""

    url: Annotated[str, AfterValidator(_secure)] = Field(description="of its API, as https://scicat.example.org/api/v3")
    token_file: Folder = Field(description="file that holds the token of a user who may create data sets, alone")
    owner: str = Field(min_length=1, description="who answers for the data: a person or the facility")
    contact_email: str = Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
    owner_group: GroupName = Field(description="of what no rule gives to another group")
    access_groups: tuple[GroupName, ...] = Field(default=(), description="the same")
    since: date | None = Field(default=None, description="runs that ended before (UTC) are not registered")

    def token(self) -> SecretStr:
        """Return the token.

        Raises
        ------
        SettingsError
            If its file cannot be read, or is empty.
        """
        try:
            text = self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"catalogue: {self.token_file}: cannot be read", "name a file with a token") from error
        if not text:
            raise SettingsError(f"catalogue: {self.token_file}: is empty", "name a file with a token")
        return SecretStr(text)
