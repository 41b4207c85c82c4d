"""Errors that are shown to the user as one line: what, where, and what to do."""

GO_ON = 75  # exit code of a run that should be started again, to go on: EX_TEMPFAIL


class DfmError(Exception):
    """A run that failed; the `dfm` command prints the message and exits with 1."""

    exit_code = 1


class UsageError(DfmError):
    """Arguments, settings or input that cannot be used; the command exits with 2."""

    exit_code = 2


def one_line(error: BaseException) -> str:
    """The message of any error, however many lines it has."""
    return " ".join(str(error).split())
