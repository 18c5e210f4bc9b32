"""What the beam did to a crystal, drawn over the exposure."""

import math

from markupsafe import Markup

from tasks.integrate import Damage
from tasks.report.charts import ChartFrame, Line, against_angle

AXES = {"dose": "dose (e⁻/Å²)", "order": "scans before it"}


def damage_charts(name: str, damage: Damage | None) -> tuple[Markup, ...]:
    """Return the intensity left at 1 angstrom, and what held-out measurements say of each cut; none where not known.

    The model is beside the points where one was applied. The points have their errors in results.json.
    """
    if damage is None or damage.axis is None or damage.axis not in AXES:
        return ()
    label, charts = AXES[damage.axis], []
    if len(damage.course) > 1:
        places = [point.exposure for point in damage.course]
        lines = [Line("by its frames", [point.intensity for point in damage.course])]
        if damage.half_intensity_dose is not None:
            half = damage.half_intensity_dose
            lines.append(Line("model", [math.exp(-math.log(2.0) * place / half) for place in places]))
        charts.append(against_angle(places, lines, ChartFrame(f"{name}: intensity left at 1 Å", label, (0, None))))
    if len(damage.cuts) > 1:
        deviation = Line("", [cut.deviation for cut in damage.cuts])
        around = ChartFrame(f"{name}: deviation of held-out measurements", f"data up to: {label}", (0, None))
        charts.append(against_angle([cut.last for cut in damage.cuts], [deviation], around))
    return tuple(charts)
