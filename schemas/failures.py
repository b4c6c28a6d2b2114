"""What a failure asks for. Every error of AAM derives from `AamError` and names its reaction.

AamError
├── TransientError  retry, bounded, with jitter
├── InvalidRecord   dead letter, with the original bytes
├── Misconfigured   refuse to start, say what to set
└── Bug             park and alert
"""

from enum import StrEnum
from typing import ClassVar


class FailureKind(StrEnum):
    """The reaction a failure asks for; stored in dead letters as `aam-error-kind`."""

    TRANSIENT = "transient"
    INVALID_RECORD = "invalid_record"
    MISCONFIGURED = "misconfigured"
    BUG = "bug"


class AamError(Exception):
    """Base of all errors of AAM. The message is for people and never quotes a record's values."""

    kind: ClassVar[FailureKind] = FailureKind.BUG


class TransientError(AamError):
    """A dependency did not answer; the same call may succeed later."""

    kind = FailureKind.TRANSIENT


class InvalidRecord(AamError):
    """The record itself cannot be processed, now or later."""

    kind = FailureKind.INVALID_RECORD


class Misconfigured(AamError):
    """A setting is missing or wrong; the message says which, and what to set."""

    kind = FailureKind.MISCONFIGURED


class Bug(AamError):
    """A promise between our own parts was broken."""
