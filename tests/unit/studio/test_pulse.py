"""Updates of a page: the newest only, one on its way at a time."""

from bokeh.document import Document

from flows.studio.pulse import Pulse


def made() -> tuple[Pulse, Document, list[str]]:
    doc, sent = Document(), []
    pulse = Pulse(doc)
    for part in ("image", "pattern"):
        pulse.add(part, lambda part=part: sent.append(part))
    return pulse, doc, sent


def run_next(doc: Document) -> None:
    """Run what waits for the page's next turn."""
    for waiting in list(doc.session_callbacks):
        doc.remove_next_tick_callback(waiting)
        waiting.callback()


def test_what_is_asked_for_many_times_is_sent_once_in_the_order_of_the_parts() -> None:
    pulse, doc, sent = made()
    for _ in range(100):
        pulse.ask("pattern")
        pulse.ask("image")
    assert sent == []
    run_next(doc)
    assert sent == ["image", "pattern"]


def test_the_next_update_waits_until_the_last_was_painted() -> None:
    pulse, doc, sent = made()
    pulse.ask("image")
    run_next(doc)
    for _ in range(100):
        pulse.ask("pattern")
    assert doc.session_callbacks == []
    pulse.echo.data = {"number": [1]}
    run_next(doc)
    assert sent == ["image", "pattern"]
    assert pulse.beat.data == {"number": [2]}
    assert len(pulse.costs_s) == len(pulse.ages_s) == 1


def test_an_echo_heard_twice_counts_once() -> None:
    pulse, doc, _ = made()
    pulse.ask("image")
    run_next(doc)
    pulse.echo.data = {"number": [1]}
    pulse.echo.data = {"number": [0]}
    assert len(pulse.costs_s) == 1
    pulse.flush()
    assert pulse.beat.data == {"number": [1]}
