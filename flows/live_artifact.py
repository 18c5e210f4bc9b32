"""A series that grows, on the page of its run: one artifact in Markdown that is written anew."""

import logging
from uuid import UUID

from prefect.artifacts import create_markdown_artifact
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate

from tasks.model import plain
from tasks.report import (
    LIVE_HEADER,
    LiveCrystal,
    LiveState,
    best_tilt_words,
    crystal_cells,
    dose_words,
    lattice_words,
    live_headline,
    verdict_words,
)
from tasks.stage import tell

log = logging.getLogger("apertura.live")

KEY = "live"


class LiveArtifact:
    """Shows the newest state; a server that is away misses it, and gets the next."""

    def __init__(self, report_url: str | None = None) -> None:
        self._url = report_url
        self._made: UUID | None = None

    def show(self, state: LiveState) -> None:
        """Make the artifact, or write it anew."""
        text, headline = live_markdown(state, self._url), plain(live_headline(state))

        def make() -> None:
            made = create_markdown_artifact(text, key=KEY, description=headline)
            self._made = made if isinstance(made, UUID) else None

        def renew() -> None:
            if self._made is not None:
                with get_client(sync_client=True) as client:
                    client.update_artifact(self._made, ArtifactUpdate(data=text, description=headline))

        tell(make if self._made is None else renew)


def live_markdown(state: LiveState, report_url: str | None) -> str:
    """Return a state as Markdown; all text from outside is escaped."""
    lines = [f"### {plain(live_headline(state))}", ""]
    if state.ending:
        lines += [f"**{plain(state.ending)}**", ""]
    if report_url is not None:
        lines += [f"[the page, with pictures]({report_url})", ""]
    lines += [f"dose: {plain(dose_words(state))}; updated {plain(state.updated)}", ""]
    if state.crystals:
        header = ("crystal", *LIVE_HEADER, "by scans")
        lines += [_row(header), _row(["---"] * len(header))]
        lines += [_row((one.id, *crystal_cells(one), str(one.scans))) for one in state.crystals]
        lines += ["", *(line for one in state.crystals for line in _crystal_lines(one))]
    elif state.no_crystals:
        lines.append(plain(state.no_crystals))
    lines += [f"- {plain(note)}" for note in state.notes]
    late = [scan for scan in state.scans if scan.state not in ("read", "awaited")]
    lines += [f"- {plain(scan.file)}: {scan.state}: {plain(scan.note)}" for scan in late]
    return "\n".join([*lines, ""])


def _crystal_lines(crystal: LiveCrystal) -> list[str]:
    words = [text for text in (lattice_words(crystal), verdict_words(crystal)) if text]
    if crystal.reason:
        words.append(f"no intensities: {crystal.reason}")
    if crystal.best_tilts:
        words.append(f"most would be added at {best_tilt_words(crystal)}")
    return [f"- **{plain(crystal.id)}**: {plain('; '.join(words))}"]


def _row(cells: "list[str] | tuple[str, ...]") -> str:
    return f"| {' | '.join(cell if cell == '---' else plain(cell) for cell in cells)} |"
