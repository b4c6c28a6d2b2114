"""The released canonical schemas as a Schema Registry sees them: by subject, version, id and content.

What goes over HTTP, and how, is `gateway.schema_registry`'s business; what is released, `schemas.schema_ids`'.
"""

import json
import re
from collections.abc import Iterable
from http import HTTPStatus

from schemas.canonical_model import InvalidSchema
from schemas.schema_ids import ReleasedSchema, fingerprint


class RegistryError(Exception):
    """An answer other than success: HTTP status, and the code that Confluent's registry gives for the same mistake."""

    def __init__(self, status: HTTPStatus, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class SchemaDirectory:
    """Lookups over a fixed list of released schemas. Everything missing raises RegistryError."""

    def __init__(self, released: Iterable[ReleasedSchema]) -> None:
        self._by_id = {schema.id: schema for schema in released}
        self._by_subject: dict[str, dict[int, ReleasedSchema]] = {}
        for schema in sorted(self._by_id.values(), key=lambda s: (s.subject, s.version)):
            self._by_subject.setdefault(schema.subject, {})[schema.version] = schema

    def subjects(self) -> list[str]:
        """All subjects, by name."""
        return list(self._by_subject)

    def has_subject(self, subject: str) -> bool:
        """Whether `subject` is one of ours."""
        return subject in self._by_subject

    def versions(self, subject: str) -> dict[int, ReleasedSchema]:
        """Version → schema, oldest first; 40401 if there is no such subject."""
        if subject not in self._by_subject:
            raise RegistryError(HTTPStatus.NOT_FOUND, 40401, f"Subject '{subject}' not found.")
        return self._by_subject[subject]

    def version(self, subject: str, version: str) -> ReleasedSchema:
        """The schema of a version: a number from 1, `latest` or `-1`; 42202 if it's neither, 40402 if there is none."""
        number = _version_number(version)
        versions = self.versions(subject)
        if number is None:
            return versions[max(versions)]
        if number not in versions:
            raise RegistryError(HTTPStatus.NOT_FOUND, 40402, f"Version {number} not found.")
        return versions[number]

    def by_id(self, schema_id: int) -> ReleasedSchema:
        """The schema with this id; 40403 if there is none."""
        schema = self._by_id.get(schema_id)
        if schema is None:
            raise RegistryError(HTTPStatus.NOT_FOUND, 40403, f"Schema {schema_id} not found")
        return schema

    def find(self, subject: str, text: str, schema_type: str = "AVRO") -> ReleasedSchema | None:
        """The version of `subject` whose content is that of `text`; 40401, or 42201 if `text` is no Avro schema."""
        versions = self.versions(subject)
        wanted = _fingerprint_of(text, schema_type)
        # the newest first: that is what a registry answers where two versions are the same
        return next((s for s in reversed(versions.values()) if s.fingerprint == wanted), None)


def _version_number(version: str) -> int | None:
    if version in ("latest", "-1"):
        return None
    # Confluent's versions are Java ints
    if re.fullmatch(r"[0-9]{1,10}", version) and 1 <= int(version) < 2**31:
        return int(version)
    raise RegistryError(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        42202,
        f"The specified version '{version}' is not a valid version id. Allowed values are between [1, 2^31-1] and the"
        ' string "latest"',
    )


def _fingerprint_of(text: str, schema_type: str) -> str:
    invalid = "Invalid schema"
    if schema_type != "AVRO":
        raise RegistryError(HTTPStatus.UNPROCESSABLE_ENTITY, 42201, f"{invalid} type {schema_type}: only AVRO is here")
    try:
        return fingerprint(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise RegistryError(HTTPStatus.UNPROCESSABLE_ENTITY, 42201, f"{invalid}: not JSON") from error
    except InvalidSchema as error:
        raise RegistryError(HTTPStatus.UNPROCESSABLE_ENTITY, 42201, f"{invalid}: {error}") from error
