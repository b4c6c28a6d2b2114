"""What a command's exit code says. Shown in `aam --help`, so scripts can tell "try again" from "fix this"."""

from enum import IntEnum

from schemas.failures import AamError, InvalidRecord, Misconfigured, TransientError


class ExitCode(IntEnum):
    """Every exit code of `aam`. USAGE is that of the option parser."""

    OK = 0
    DIFFERENCES = 1
    USAGE = 2
    MISCONFIGURED = 3
    UNREACHABLE = 4
    INVALID_INPUT = 5
    INTERRUPTED = 130


MEANINGS = {
    ExitCode.OK: "done",
    ExitCode.DIFFERENCES: "there are differences, a check failed, or AAM has a bug",
    ExitCode.USAGE: "the command line is wrong",
    ExitCode.MISCONFIGURED: "a setting is missing or wrong",
    ExitCode.UNREACHABLE: "Kafka, Postgres or another service did not answer, try again",
    ExitCode.INVALID_INPUT: "the input is invalid",
    ExitCode.INTERRUPTED: "ended by Ctrl-C",
}


def exit_code(error: AamError) -> ExitCode:
    """The exit code for an error that ends a command."""
    if isinstance(error, Misconfigured):
        return ExitCode.MISCONFIGURED
    if isinstance(error, TransientError):
        return ExitCode.UNREACHABLE
    return ExitCode.INVALID_INPUT if isinstance(error, InvalidRecord) else ExitCode.DIFFERENCES
