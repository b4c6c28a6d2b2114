"""A point in time as all messages carry it: aware, in UTC, in JSON as ISO 8601 with `Z` and microseconds.

Which field of which message is one is up to `schemas.messages` and `schemas.event_models`.
"""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, PlainSerializer


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC)


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


UtcTime = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(_written, return_type=str, when_used="json"),
]
