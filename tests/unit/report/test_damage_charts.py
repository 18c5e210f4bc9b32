"""The plots of damage: there where exposures are known, with what was modelled beside what was seen."""

from tasks.integrate.models import Damage, DamageCut, DamagePoint
from tasks.report.damage_charts import damage_charts

SEEN = Damage(
    state="cut",
    axis="dose",
    last_exposure=30.0,
    half_intensity_dose=10.0,
    left_out_deg=(58.0, 60.0),
    course=tuple(DamagePoint(exposure=x, intensity=0.5 ** (x / 10), esd=0.02) for x in (1.0, 10.0, 20.0)),
    cuts=tuple(DamageCut(last=x, kept=int(x), deviation=1.0 + x / 10, gain=0.0) for x in (12.0, 20.0, 30.0)),
)


def test_intensity_and_cuts_are_drawn_over_the_dose() -> None:
    left, cuts = damage_charts("crystal-01", SEEN)
    assert "intensity left at 1 Å" in left
    assert "model" in left
    assert "dose (e⁻/Å²)" in left
    assert "held-out" in cuts


def test_no_model_is_drawn_where_none_was_applied() -> None:
    left, _ = damage_charts("crystal-01", SEEN.model_copy(update={"half_intensity_dose": None, "axis": "order"}))
    assert ">model<" not in left
    assert "scans before it" in left


def test_nothing_is_drawn_where_the_order_is_not_known() -> None:
    assert damage_charts("x", None) == ()
    assert damage_charts("x", Damage(state="not known", axis="tilt")) == ()
