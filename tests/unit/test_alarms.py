"""Alarms of the site file: which automations they become, and what may not be sent."""

from pathlib import Path
from uuid import uuid4

import pytest
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import EventTrigger, Posture
from pydantic import SecretStr

from flows.alarms import ALARMS, automation, check_address, send_test
from flows.site import AlarmName, Site, read_site
from tasks.model import SettingsError
from tests.synthetic.alarm_sinks import Told

pytestmark = pytest.mark.filterwarnings("ignore:.*imghdr:DeprecationWarning")  # apprise asks whether it is there
SEND = SendNotification(block_document_id=uuid4(), subject="", body="")


def trigger_of(name: AlarmName, site: Site | None = None) -> EventTrigger:
    made = automation(site or Site(), "operator", name, SEND).trigger
    assert isinstance(made, EventTrigger)
    return made


@pytest.mark.parametrize("name", list(ALARMS))
def test_every_alarm_is_an_automation_that_prefect_takes(name: AlarmName) -> None:
    made = automation(Site(name="a {{ site }}"), "operator", name, SEND)
    (action,) = made.actions
    assert made.name == f"apertura alarm: {name} to operator"
    assert isinstance(action, SendNotification)
    assert action.subject.startswith("apertura at a (( site )): "), "the name of the site is no template"


def test_only_the_absence_of_the_janitor_is_told_by_silence() -> None:
    silent = [name for name in ALARMS if trigger_of(name).posture is Posture.Proactive]
    assert silent == ["scheduler"]


def test_a_disk_that_stays_full_is_told_once_for_hours_and_every_failed_run_by_itself() -> None:
    assert trigger_of("disk").within.total_seconds() == 6 * 3600
    assert trigger_of("disk").for_each == {"prefect.resource.id"}
    assert trigger_of("failed").within.total_seconds() == 0


def test_an_address_that_cannot_be_read_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match=r"alarms\.to\.operator") as refused:
        check_address("operator", SecretStr("telepathy://user:hidden@example.org"))
    assert "hidden" not in refused.value.message + refused.value.advice


@pytest.mark.parametrize(
    ("receiver", "said"),
    [
        ("{}", "`url` or `url_file`"),
        ("{url: 'json://a', url_file: /b}", "`url` or `url_file`"),
        ("{url: 'json://a', about: [birthday]}", "alarms.to.operator.about.0"),
        ("{url_file: relative}", "not an absolute path"),
    ],
)
def test_a_wrong_receiver_is_refused_with_its_field(tmp_path: Path, receiver: str, said: str) -> None:
    path = tmp_path / "site.yaml"
    path.write_text(f"alarms: {{to: {{operator: {receiver}}}}}")
    with pytest.raises(SettingsError, match="alarms") as refused:
        read_site(path)
    assert said in refused.value.message


def test_the_address_in_a_file_is_read_when_it_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "address"
    site = Site.model_validate({"alarms": {"to": {"operator": {"url_file": path}}}})
    with pytest.raises(SettingsError, match="cannot be read"):
        send_test(site)
    path.write_text("json://127.0.0.1:1/\n")
    assert send_test(site) == {"operator": False}, "nobody listens there"


def test_a_test_mail_arrives_and_text_from_outside_is_text_in_it() -> None:
    told = Told()
    try:
        name = "centre <img src=http://example.org/x>"
        receiver = {**told.receivers["operator"], "about": ["disk"]}
        site = Site.model_validate({"name": name, "alarms": {"to": {"operator": receiver}}})
        assert send_test(site) == {"operator": True}
    finally:
        told.close()
    (mail,) = told.mails
    assert mail["To"] == "operator@example.org"
    assert mail["Subject"] == f"apertura at {name}: test of the alarms"
    parts = told.contents("test of the alarms")
    assert "operator is told of disk" in parts["text/plain"]
    assert "<img" not in parts.get("text/html", "")
