"""Approval in Prefect's UI: the run is suspended (its process and slot are free) until a person answers a form.

On resume the flow starts from the top; everything done before comes from the run folder. A run that nobody answered
within the time limit is resumed by the janitor with the stated default.
"""

import threading
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TypeVar, cast

from prefect.exceptions import Pause
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from pydantic import Field, create_model

from flows.approval_files import APERTURES, WAITING_NAME, WaitingApproval, accepted_file
from flows.progress import PublishedSteps
from flows.review import Redraw
from flows.site import Site
from tasks.apertures import ApertureSet
from tasks.model import Document, InputError, plain
from tasks.solve import Solution, Solutions

F = TypeVar("F", bound=RunInput)

SUSPEND_S = 30 * 86400
"""Prefect's own limit lies far behind ours: at its end the run would fail instead of taking the default."""


class Ask(StrEnum):
    """What a person is asked."""

    nothing = "nothing"
    apertures = "apertures"
    space_group = "space group"
    both = "apertures and space group"


class Default(StrEnum):
    """What happens when nobody answers in time."""

    accept = "accept"
    reject = "reject"


class Approval(Document):
    """Whether a person is asked, and what happens when nobody answers."""

    ask: Ask = Field(default=Ask.nothing, description="what a person approves")
    limit_h: float = Field(default=72.0, gt=0, le=600, description="hours to wait for an answer")
    default: Default = Field(default=Default.accept, description="taken when nobody answered in time")


class ApertureAnswer(RunInput):
    """The answer about the crystals of one series."""

    approve: bool = Field(default=False, description="Go on with the crystals named below?")
    crystals: list[str] = Field(
        default_factory=list, description="Crystals to use: remove those that are bad; none named = all"
    )
    corrected: str = Field(
        default="", max_length=200, description="Aperture file of the run folder to use instead: the studio fills it in"
    )
    comment: str = Field(default="", max_length=2000, description="Kept in the run's log, and in its error if refused")


class SpaceGroupAnswer(RunInput):
    """The answer about the space group of one crystal."""

    approve: bool = Field(default=False, description="Go on with the space group below?")
    space_group: str = Field(default="", description="One of the candidates in the table above; empty = the best")
    comment: str = Field(default="", max_length=2000, description="Kept in the run's log, and in its error if refused")


def prefilled(form: type[F], description: str, **values: object) -> type[F]:
    """Return a form with a text above it and values in it.

    Prefect's `with_initial_data` does the same, but loses the help texts of the fields that it fills.
    """
    described = form.with_initial_data(description=description)
    filled = {
        name: (
            form.model_fields[name].annotation,
            Field(default=value, description=form.model_fields[name].description),
        )
        for name, value in values.items()
    }
    return cast("type[F]", create_model(form.__name__, __base__=described, **filled))  # type: ignore[call-overload]


def default_answer(default: Default) -> dict[str, object]:
    """Return the answer that is taken when nobody gave one in time: it fits both forms."""
    accepted = default is Default.accept
    return {"approve": accepted, "comment": "" if accepted else "nobody answered in time"}


class PersonReview:
    """Asks in the UI what the deployment was told to ask."""

    def __init__(self, approval: Approval, *, folder: Path, site: Site, steps: PublishedSteps) -> None:
        self._approval = approval
        self._folder = folder
        self._site = site
        self._steps = steps
        self._lock = threading.Lock()
        self._suspended: Pause | None = None

    def apertures(self, proposed: ApertureSet, redraw: Redraw) -> ApertureSet:
        """Show the crystals; if a person is to approve them, suspend until then; return those that were kept."""
        from flows.pictures import show_apertures  # matplotlib, which a flow's start need not wait for

        sheet = show_apertures(proposed, self._folder, self._site)
        kept = self._approved(proposed, sheet, redraw)
        if kept.aperture_file != proposed.aperture_file:
            show_apertures(kept, self._folder, self._site)
        self._steps.expect(len(kept.crystals))
        return kept

    def _approved(self, proposed: ApertureSet, sheet: Path, redraw: Redraw) -> ApertureSet:
        if self._approval.ask not in {Ask.apertures, Ask.both}:
            return proposed
        from flows.pictures import thumbnail

        seen = [(item.id, item.positions_per_tilt) for item in proposed.crystals]
        rows = [f"| {name} | {sum(count > 0 for count in counts)} | {sum(counts)} |" for name, counts in seen]
        table = "\n".join(["| crystal | tilts | positions |", "|-|-|-|", *rows])
        form = prefilled(
            ApertureAnswer,
            self._text(APERTURES, f"{table}\n\n![{sheet.stem}]({thumbnail(sheet)})", sheet),
            approve=True,
            crystals=[crystal.id for crystal in proposed.crystals],
        )
        answer = self._ask(form, APERTURES)
        _refused(answer.approve, "the apertures", answer.comment)
        if answer.corrected:
            return redraw(accepted_file(self._folder, answer.corrected))
        wanted = answer.crystals or [crystal.id for crystal in proposed.crystals]
        kept = tuple(crystal for crystal in proposed.crystals if crystal.id in wanted)
        if not kept:
            raise InputError(f"none of {answer.crystals} is a crystal of this series", "run it again and keep some")
        return proposed.model_copy(update={"crystals": kept})

    def solution(self, crystal: str, solutions: Solutions) -> Solution:
        """Suspend until the space group is approved; return the candidate to refine."""
        if self._approval.ask not in {Ask.space_group, Ask.both}:
            return solutions.best
        rows = [f"| {plain(item.space_group)} | {item.r1:.3f} | {item.verdict} |" for item in solutions.candidates]
        table = "\n".join(["| space group | R1 | verdict |", "|-|-|-|", *rows])
        form = prefilled(
            SpaceGroupAnswer,
            self._text(f"space group of {crystal}", table, self._folder / "crystals" / crystal),
            approve=True,
            space_group=solutions.best.space_group,
        )
        answer = self._ask(form, f"space-group-{crystal}")
        _refused(answer.approve, f"the space group of {crystal}", answer.comment)
        wanted = answer.space_group or solutions.best.space_group
        chosen = [item for item in solutions.candidates if item.space_group == wanted]
        if not chosen:
            raise InputError(f"{answer.space_group!r} is none of the candidates of {crystal}", "take one of the table")
        return chosen[0]

    def _ask(self, form: type[F], key: str) -> F:
        """Suspend, or return the answer that was given since; crystals worked on side by side ask one at a time."""
        with self._lock:
            if self._suspended is not None:
                raise self._suspended
            waiting = self._folder / WAITING_NAME
            waiting.write_text(WaitingApproval(flow_run=str(flow_run.id), asked=key).model_dump_json(), "utf-8")
            try:
                answer = suspend_flow_run(wait_for_input=form, timeout=SUSPEND_S, key=key)
            except Pause as suspended:
                self._suspended = suspended
                raise
            waiting.unlink(missing_ok=True)
            return answer

    def _text(self, what: str, proposal: str, shown: Path) -> str:
        end = datetime.now(UTC) + timedelta(hours=self._approval.limit_h)
        taken = "accepted" if self._approval.default is Default.accept else "refused"
        limit = f"Without an answer by {end:%Y-%m-%d %H:%M} UTC this is **{taken}**."
        where = f"[{plain(shown.name)}]({self._site.url_of(shown)})"
        more = f"More: {where}"
        if what == APERTURES and (studio := self._site.studio_of(self._folder)) is not None:
            more += f"\n\nTo correct them, [open the studio]({studio}): *Accept* there answers this form."
        return f"### {plain(self._folder.name)}: {plain(what)}\n\n{proposal}\n\n{more}\n\n{limit}"


def _refused(approved: bool, what: str, comment: str) -> None:
    if not approved:
        raise InputError(f"a person refused {what}: {comment or 'no comment'}", "correct them and run it again")
