"""Typed errors. Their class says who must act, their code which case it is.

=====  =============================================  ============  ========  ====================================
code   class                                          who acts      retried   what a run does
=====  =============================================  ============  ========  ====================================
I1xx   `InputError`, `SourceError`, `SettingsError`   the user      no        names the field or file, and stops
E2xx   `ProgramNotFoundError`, `LicenceExpiredError`  the site      no        takes the next engine, or stops
P301   `ProgramTimeoutError`                          the program   yes       takes the next engine, or reports it
P302   `ProgramFailedError`                           the program   no        takes the next engine, or reports it
S4xx   `ScienceError` and its kinds                   the data      no        takes the next engine, or reports it
=====  =============================================  ============  ========  ====================================

The next engine is taken where `auto` was chosen; what is reported ends one crystal, not the run.
Anything else is a bug and keeps its traceback.

State is kept in positional ``args`` so that the errors survive pickling between processes.
"""


class ApertureError(Exception):
    """Base of all errors that apertura raises on purpose.

    Parameters
    ----------
    message
        What is wrong, naming the file and field.
    advice
        What the reader can do about it, or the tail of a program's output.
    """

    code = "X000"
    retryable = False

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message, advice)

    @property
    def message(self) -> str:
        """What is wrong."""
        return str(self.args[0])

    @property
    def advice(self) -> str:
        """What to do about it."""
        return str(self.args[1])

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}" if self.advice else self.message


class InputError(ApertureError):
    """The request or the data are wrong: the user must act."""

    code = "I100"


class SourceError(InputError):
    """The source is missing, damaged or contradicts itself."""

    code = "I110"


class ChangedSourceError(SourceError):
    """The source is no longer what a run of it was asked for."""

    code = "I111"


class DamagedStoreError(SourceError):
    """An event store is not what was written: what was made from the source can be made from it again."""

    code = "I112"


class SettingsError(InputError):
    """A setting or a command-line argument is wrong."""

    code = "I120"


class ProgramNotFoundError(ApertureError):
    """A required program or service is not installed."""

    code = "E201"


class LicenceExpiredError(ApertureError):
    """A licensed program refuses to run."""

    code = "E202"


class ProgramFailedError(ApertureError):
    """A program crashed, or its output is incomplete or unreadable."""

    code = "P302"


class ProgramTimeoutError(ProgramFailedError):
    """A program was stopped at its time limit."""

    code = "P301"
    retryable = True


class ScienceError(ApertureError):
    """The programs ran well and the data said no."""

    code = "S400"


class NoCrystalsError(ScienceError):
    """No crystal was found in the scans."""

    code = "S401"


class NotIndexedError(ScienceError):
    """No lattice explains the spots."""

    code = "S402"


class NoSolutionError(ScienceError):
    """No structure explains the intensities."""

    code = "S403"


class DivergedError(ScienceError):
    """Least squares did not converge."""

    code = "S404"


def is_retryable(error: BaseException) -> bool:
    """Tell whether running the same work again may help."""
    return isinstance(error, ApertureError) and error.retryable
