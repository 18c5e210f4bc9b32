"""Where alarms go: a block of Prefect's that sends through apprise, so that mail needs no service of its own.

Prefect's server loads this module by the entry point ``prefect.collections`` of the package.
"""

from apprise import Apprise, AppriseAsset, NotifyFormat
from prefect.blocks.notifications import AppriseNotificationBlock
from pydantic import SecretStr


def sender(address: SecretStr) -> Apprise:
    """Return what sends plain text to an address: names and messages come from outside, and may hold HTML.

    An address that apprise cannot read leaves it empty.
    """
    asset = AppriseAsset(app_id="apertura", app_desc="apertura", app_url="", body_format=NotifyFormat.TEXT)
    made = Apprise(asset=asset)
    made.add(address.get_secret_value())
    return made


class AlarmAddress(AppriseNotificationBlock):
    """An address in the form that apprise reads: ``mailtos://``, ``slack://``, ``workflows://`` (Teams), ``json://``."""

    _block_type_name = "Apertura alarm address"
    _block_type_slug = "apertura-alarm-address"

    def _start_apprise_client(self, url: SecretStr) -> None:
        self._apprise_client = sender(url)
