"""A point in time as all messages carry it: aware, in UTC, in JSON as ISO 8601 with `Z` and microseconds.

Which field of which message is one is up to `schemas.messages` and `schemas.event_models`.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, PlainSerializer


def format_utc(at: datetime) -> str:
    """`2026-11-24T09:30:00.000000Z` for an aware `at`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


UtcTime = Annotated[
    AwareDatetime,
    AfterValidator(lambda at: at.astimezone(UTC)),
    PlainSerializer(format_utc, return_type=str, when_used="json"),
]
