"""Starts a program with secrets that lie in files: ``python -m flows.with_secrets PROGRAM ARGUMENT ...``.

For each variable of `NAMES` the variable NAME_FILE may name a file that holds its value and nothing else: a credential
of systemd, a secret of Docker or Kubernetes. The program, started in the place of this one, finds the value in NAME.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from tasks.model import SettingsError

NAMES = (
    "PREFECT_API_AUTH_STRING",
    "PREFECT_SERVER_API_AUTH_STRING",
    "PREFECT_SERVER_DATABASE_PASSWORD",
    "PREFECT_SERVER_DATABASE_CONNECTION_URL",
    "PREFECT_SERVER_ENCRYPTION_KEY",
    "PREFECT_REDIS_MESSAGING_URL",
    "PREFECT_SERVER_DOCKET_URL",
    "APERTURA_STUDIO_SECRET",
)
"""A list, as other variables of such names mean files themselves: SSL_CERT_FILE, PREFECT_API_SSL_CERT_FILE."""
SUFFIX = "_FILE"


def with_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment with the values of the files that it names, and without their names.

    Raises
    ------
    SettingsError
        If a value is given twice, or a file cannot be read or is empty.
    """
    found = dict(environment)
    for name in NAMES:
        path = found.pop(name + SUFFIX, "")
        if not path:
            continue
        if found.get(name):
            raise SettingsError(f"{name}: given, and in the file {path}, too", "remove one of the two")
        try:
            value = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "not text"
            raise SettingsError(f"{name}{SUFFIX}: {path}: {why}", "name a file that this user can read") from error
        if not value or "\n" in value or "\0" in value:
            raise SettingsError(f"{name}{SUFFIX}: {path}: not one line of text", "write the value into it, alone")
        found[name] = value
    return found


def main() -> None:
    """Become the program."""
    command = sys.argv[1:]
    if not command:
        sys.exit("apertura: no program is named\n  python -m flows.with_secrets PROGRAM ARGUMENT ...")
    try:
        os.execvpe(command[0], command, with_secrets(os.environ))  # noqa: S606 # nosec B606 the command of a unit file
    except SettingsError as error:
        sys.exit(f"apertura: {error.message}\n  {error.advice}")
    except OSError as error:
        sys.exit(f"apertura: {command[0]}: {error.strerror}\n  name a program")


if __name__ == "__main__":
    main()
