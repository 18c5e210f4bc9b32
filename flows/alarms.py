"""Alarms: automations of Prefect's, made from the site file, that send what went wrong to people.

``python -m flows.alarms`` makes them, changes those whose receivers have changed, and removes those that nobody wants
any more; ``--test`` sends one message to every receiver instead. Who is told of what stands under `alarms` in the site
file. What only the janitor sees (a run that waits too long, an approval near its limit, a full disk, a watcher that
is silent) it says as events: `conditions.py`.
"""

import argparse
import sys
from datetime import timedelta
from typing import NamedTuple

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events.actions import SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from pydantic import SecretStr

from flows.alarm_address import AlarmAddress, sender
from flows.conditions import APPROVAL_DUE, CATALOGUE_FAILS, DISK_LOW, RUN_LATE, WATCHER_SILENT
from flows.site import ALARM_PREFIX, AlarmName, Site, load_site
from tasks.model import SettingsError

ONCE_A_DAY, ONCE_IN_SIX_HOURS = timedelta(days=1), timedelta(hours=6)
"""After it has fired for one thing an alarm is silent about it so long. Chosen, not measured: by shift, and by day."""
PASSES_MISSED = timedelta(minutes=10)
"""Without any pass of the janitor, due every minute: the scheduler or the worker of maintenance is gone. A server that
starts on a loaded machine, and a pass that waits, take up to five minutes. Prefect looks at fixed windows of this
length, of which one must be empty: it is told one to two of them after the last pass."""


class Alarm(NamedTuple):
    """What is told, and when."""

    subject: str
    body: str
    expect: tuple[str, ...]
    flows: tuple[str, ...] = ()
    """Of runs of which flows; none: of anything."""
    silent: timedelta = timedelta(0)
    """About the same thing, after it was told."""
    missing: timedelta | None = None
    """It is told when what is expected has not happened for so long."""


RUN = "{{ flow_run.name }}"
PAGE = "{{ flow_run.state.message }}\n\n{{ flow_run|ui_url }}"
"""Jinja, as Prefect fills it in: text of runs and events comes from outside, and is sent as plain text."""
ALARMS: dict[AlarmName, Alarm] = {
    "failed": Alarm(f"run failed: {RUN}", PAGE, ("prefect.flow-run.Failed",), ("solve-series", "merge")),
    "crashed": Alarm(
        f"run crashed: {RUN}", "The janitor tries it again, at most three times.\n" + PAGE,
        ("prefect.flow-run.Crashed",), ("solve-series", "merge"), ONCE_A_DAY,
    ),
    "late": Alarm("run waits: {{ event.payload.name }}", "{{ event.payload.text }}", (RUN_LATE,), (), ONCE_A_DAY),
    "approval": Alarm(
        "approval is due: {{ event.payload.name }}", "{{ event.payload.text }}", (APPROVAL_DUE,), (), ONCE_A_DAY
    ),
    "refused": Alarm(
        "data set refused", "{{ event.payload.path }}\n{{ event.payload.reason }}", ("apertura.dataset.refused",)
    ),
    "worker": Alarm(
        "no worker: {{ work_pool.name }}", "The work pool {{ work_pool.name }} has no worker that answers: runs wait.",
        ("prefect.work-pool.not-ready",),
    ),
    "watcher": Alarm("watcher is silent", "{{ event.payload.text }}", (WATCHER_SILENT,), (), ONCE_IN_SIX_HOURS),
    "scheduler": Alarm(
        "no maintenance",
        "No pass of the janitor has ended for 10 minutes: the server's scheduler or the maintenance worker is gone.",
        ("prefect.flow-run.Completed",), ("janitor",), missing=PASSES_MISSED,
    ),
    "disk": Alarm("disk is filling", "{{ event.payload.text }}", (DISK_LOW,), (), ONCE_IN_SIX_HOURS),
    "flight-check": Alarm(
        "flight check failed", PAGE, ("prefect.flow-run.Failed", "prefect.flow-run.Crashed"), ("flight-check",)
    ),
    "catalogue": Alarm(
        "runs are not registered", "{{ event.payload.text }}", (CATALOGUE_FAILS,), (), ONCE_A_DAY
    ),
}  # fmt: skip


def make_alarms(client: SyncPrefectClient, site: Site) -> tuple[str, ...]:
    """Make the automations that a site file asks for, and no others with our prefix; return the names of all.

    One that is as it should be is left as it is: Prefect forgets with it when it last fired.

    Raises
    ------
    SettingsError
        If an address cannot be read.
    """
    addresses = {name: receiver.address() for name, receiver in site.alarms.to.items()}
    for name, address in addresses.items():
        check_address(name, address)
    wanted = {}
    AlarmAddress.register_type_and_schema()
    for name, receiver in site.alarms.to.items():
        block = AlarmAddress(url=addresses[name], notify_type="warning")
        document = block.save(f"apertura-alarm-{name}", overwrite=True)
        for alarm in receiver.about or tuple(ALARMS):
            made = automation(site, name, alarm, SendNotification(block_document_id=document, subject="", body=""))
            wanted[made.name] = made
    there = {one.name: one for one in client.read_automations() if one.name.startswith(ALARM_PREFIX)}
    for name in there.keys() - wanted.keys():
        client.delete_automation(there[name].id)
    for name, core in wanted.items():
        if name not in there:
            client.create_automation(core)
        elif AutomationCore.model_validate(there[name].model_dump()) != core:
            client.update_automation(there[name].id, core)
    return tuple(sorted(wanted))


def automation(site: Site, receiver: str, name: AlarmName, send: SendNotification) -> AutomationCore:
    """Return the automation that tells one receiver of one thing."""
    alarm = ALARMS[name]
    about = {"prefect.resource.role": "flow", "prefect.resource.name": list(alarm.flows)} if alarm.flows else {}
    trigger = EventTrigger.model_validate(
        {
            "expect": set(alarm.expect),
            "match_related": about,
            "posture": Posture.Reactive if alarm.missing is None else Posture.Proactive,
            "threshold": 1,
            "within": alarm.silent if alarm.missing is None else alarm.missing,
            "for_each": {"prefect.resource.id"} if alarm.silent else set(),
        }
    )
    told = send.model_copy(update={"subject": f"apertura at {literal(site.name)}: {alarm.subject}", "body": alarm.body})
    return AutomationCore(
        name=f"{ALARM_PREFIX}{name} to {receiver}", description="from the site file", trigger=trigger, actions=[told]
    )


def literal(text: str) -> str:
    """Return text of a site file so that Jinja takes it as it is."""
    return " ".join(text.split()).replace("{", "(").replace("}", ")")


def check_address(name: str, address: SecretStr) -> None:
    """Refuse an address that apprise cannot read; it is not shown, for it holds passwords.

    Raises
    ------
    SettingsError
        Naming the receiver.
    """
    if not sender(address):
        raise SettingsError(
            f"site file: alarms.to.{name}: not an address that apprise reads",
            "mailtos://USER:PASSWORD@HOST?from=A&to=B, slack://..., workflows://..., json://HOST/PATH: "
            "github.com/caronc/apprise/wiki",
        )


def send_test(site: Site) -> dict[str, bool]:
    """Send one message to every receiver, without the server; return by name whether it went."""
    said = {}
    for name, receiver in site.alarms.to.items():
        address = receiver.address()
        check_address(name, address)
        text = f"This is a test: {name} is told of {', '.join(receiver.about or tuple(ALARMS))}."
        said[name] = bool(sender(address).notify(body=text, title=f"apertura at {site.name}: test of the alarms"))
    return said


def main() -> None:
    """Make the alarms of the site, or send a test."""
    parser = argparse.ArgumentParser(prog="python -m flows.alarms", description="alarms, from the site file")
    parser.add_argument("--test", action="store_true", help="send one message to every receiver, and make nothing")
    arguments = parser.parse_args()
    try:
        site = load_site()
        if arguments.test:
            went = send_test(site)
            for name, there in went.items():
                print(f"{name}: {'sent' if there else 'NOT sent'}")  # noqa: T201 the answer of the command
            sys.exit(0 if all(went.values()) else 4)
        with get_client(sync_client=True) as client:
            for name in make_alarms(client, site):
                print(name)  # noqa: T201 the answer of the command
    except SettingsError as error:
        sys.exit(f"apertura: {error.message}\n  {error.advice}")
    except httpx.HTTPError as error:
        print(f"apertura: the server does not take it: {error}\n  see PREFECT_API_URL, PREFECT_API_AUTH_STRING")  # noqa: T201 the answer of the command
        sys.exit(4)


if __name__ == "__main__":
    main()
