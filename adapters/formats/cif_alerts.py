"""Alerts of validation in a CIF: all of them in words, and a response to each that is explained, as checkCIF asks."""

from collections.abc import Sequence

from tasks.refine import Alert


def alert_lines(alerts: Sequence[Alert]) -> list[str]:
    """Return one paragraph for each alert, to stand in `_refine_special_details`."""
    if not alerts:
        return ["Validation by apertura: no alerts."]
    counts = ", ".join(f"{sum(alert.level == level for alert in alerts)} {level}" for level in "ABC")
    return [
        f"Validation by apertura: alerts {counts}; codes are those of apertura.",
        *(f"Alert {alert.level} {alert.code}: {alert.text}." for alert in alerts),
    ]


def responses(alerts: Sequence[Alert], block_name: str) -> list[tuple[str, str]]:
    """Return tag and text of the validation responses: one for each code that has an explanation.

    The form is that of the IUCr's `_vrf_` items (validation reply form), whose names hold the test and the data block.
    """
    by_code: dict[str, list[Alert]] = {}
    for alert in alerts:
        if alert.explanation:
            by_code.setdefault(alert.code, []).append(alert)
    pairs = []
    for code, group in by_code.items():
        problem = "; ".join(alert.text for alert in group)
        pairs.append((f"_vrf_{code}_{block_name}", f"PROBLEM: {problem}\nRESPONSE: {group[0].explanation}"))
    return pairs
