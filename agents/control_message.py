"""Reads what agents tell each other on Kafka. Its forms are in `schemas.messages`."""

from typing import TypeVar

from pydantic import ValidationError

from schemas.failures import InvalidRecord
from schemas.messages import Message

M = TypeVar("M", bound=Message)


def parse_message(kind: type[M], value: bytes | None) -> M:
    """`value` as a message. Raises InvalidRecord, which says which fields are wrong and how, not what they hold."""
    try:
        return kind.model_validate_json(value or b"")
    except ValidationError as error:
        complaints = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        raise InvalidRecord(f"no {kind.__name__}: {complaints}") from None
