"""All checks of a refined structure, in the order of their weight."""

from tasks.refine.alerts.alert import Alert
from tasks.refine.alerts.contents import content_alerts
from tasks.refine.alerts.displacements import displacement_alerts
from tasks.refine.alerts.environment import environment_alerts
from tasks.refine.alerts.explanations import explained
from tasks.refine.alerts.measurement import data_alerts
from tasks.refine.alerts.refinement_alerts import fit_alerts, precision_alerts
from tasks.refine.alerts.subject import Subject
from tasks.refine.alerts.voids import void_alerts


def alerts_of(subject: Subject) -> tuple[Alert, ...]:
    """Return the alerts of a structure, A before B before C, each with what may explain it.

    What is not known of the subject is not asked about: a structure without data raises no alert about data.
    """
    found = (
        *content_alerts(subject),
        *displacement_alerts(subject),
        *environment_alerts(subject),
        *void_alerts(subject),
        *data_alerts(subject),
        *fit_alerts(subject),
        *precision_alerts(subject),
    )
    return tuple(explained(alert, subject) for alert in sorted(found, key=lambda alert: (alert.level, alert.code)))
