"""Approval in Prefect's UI: the run is suspended (its process and slot are free) until a person answers a form.

On resume the flow starts from the top; everything done before comes from the run folder. A run that nobody answered
within the time limit is resumed by the janitor with the stated default.
"""

from enum import StrEnum
from typing import Annotated

from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from pydantic import Field

from tasks.apertures.models import ApertureSet
from tasks.model import Document, InputError
from tasks.solve.models import Solution, Solutions

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
    comment: Annotated[str, Field(max_length=2000)] = ""


class SpaceGroupAnswer(RunInput):
    """The answer about the space group of one crystal."""

    approve: bool = Field(default=False, description="Go on with the space group below?")
    space_group: str = Field(default="", description="One of the candidates in the table above; empty = the best")
    comment: Annotated[str, Field(max_length=2000)] = ""


def default_answer(default: Default) -> dict[str, object]:
    """Return the answer that is taken when nobody gave one in time: it fits both forms."""
    accepted = default is Default.accept
    return {"approve": accepted, "comment": "" if accepted else "nobody answered in time"}


class PersonReview:
    """Asks in the UI what the deployment was told to ask."""

    def __init__(self, approval: Approval, *, sample: str, viewer_url: str) -> None:
        self._approval = approval
        self._sample = sample
        self._viewer_url = viewer_url

    def apertures(self, proposed: ApertureSet) -> ApertureSet:
        """Suspend until the crystals are approved; return those that were kept."""
        if self._approval.ask not in {Ask.apertures, Ask.both}:
            return proposed
        seen = [(item.id, item.positions_per_tilt) for item in proposed.crystals]
        rows = [f"| {name} | {sum(count > 0 for count in counts)} | {sum(counts)} |" for name, counts in seen]
        table = "\n".join(["| crystal | tilts | positions |", "|-|-|-|", *rows])
        form = ApertureAnswer.with_initial_data(
            description=self._text("apertures", table),
            approve=True,
            crystals=[crystal.id for crystal in proposed.crystals],
        )
        answer = suspend_flow_run(wait_for_input=form, timeout=SUSPEND_S, key="apertures")
        _refused(answer.approve, "the apertures", answer.comment)
        wanted = answer.crystals or [crystal.id for crystal in proposed.crystals]
        kept = tuple(crystal for crystal in proposed.crystals if crystal.id in wanted)
        if not kept:
            raise InputError(f"none of {answer.crystals} is a crystal of this series", "run it again and keep some")
        return proposed.model_copy(update={"crystals": kept})

    def solution(self, crystal: str, solutions: Solutions) -> Solution:
        """Suspend until the space group is approved; return the candidate to refine."""
        if self._approval.ask not in {Ask.space_group, Ask.both}:
            return solutions.best
        rows = [f"| {item.space_group} | {item.r1:.3f} | {item.verdict} |" for item in solutions.candidates]
        table = "\n".join(["| space group | R1 | verdict |", "|-|-|-|", *rows])
        form = SpaceGroupAnswer.with_initial_data(
            description=self._text(f"space group of {crystal}", table),
            approve=True,
            space_group=solutions.best.space_group,
        )
        answer = suspend_flow_run(wait_for_input=form, timeout=SUSPEND_S, key=f"space-group-{crystal}")
        _refused(answer.approve, f"the space group of {crystal}", answer.comment)
        wanted = answer.space_group or solutions.best.space_group
        chosen = [item for item in solutions.candidates if item.space_group == wanted]
        if not chosen:
            raise InputError(f"{answer.space_group!r} is none of the candidates of {crystal}", "take one of the table")
        return chosen[0]

    def _text(self, what: str, table: str) -> str:
        limit = f"Without an answer within {self._approval.limit_h:g} hours: {self._approval.default.value}."
        return f"### {self._sample}: {what}\n\n{table}\n\n[Look at them]({self._viewer_url})\n\n{limit}"


def _refused(approved: bool, what: str, comment: str) -> None:
    if not approved:
        raise InputError(f"a person refused {what}: {comment or 'no comment'}", "correct them and run it again")
