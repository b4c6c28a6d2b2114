"""The read API of Confluent's Schema Registry over the canonical schemas, so that standard tools decode events.

Paths, bodies and error codes: Confluent Schema Registry API reference. The registry is read-only: schemas change with
releases of AAM. Which schemas there are is in `gateway.schema_directory`.
"""

import json
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field

from gateway.schema_directory import RegistryError, SchemaDirectory
from schemas.schema_ids import ReleasedSchema

MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"
COMPATIBILITY: Final = "BACKWARD_TRANSITIVE"
MODE: Final = "READONLY"


class RegistryResponse(JSONResponse):
    """JSON under the registry's media type."""

    media_type = MEDIA_TYPE


class RegistryRoute(APIRoute):
    """Gives errors the registry's body, `{"error_code": …, "message": …}`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, with the errors translated."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await handler(request)
            except RegistryError as error:
                return _error(error.status, error.code, str(error))
            except RequestValidationError as error:
                places = ", ".join(".".join(map(str, problem["loc"])) for problem in error.errors())
                status = HTTPStatus.UNPROCESSABLE_ENTITY
                return _error(status, status, f"not understood: {places}")

        return handle


class SchemaBody(BaseModel):
    """What a client sends to look up or register a schema. Ours stand alone, so `references` are not read."""

    text: str = Field(alias="schema")
    type: str = Field(default="AVRO", alias="schemaType")


@dataclass(frozen=True)
class Page:
    """A part of a list: `limit` entries (below 0: all) from `offset`."""

    offset: Annotated[int, Query(ge=0)] = 0
    limit: int = -1

    def cut(self, entries: Sequence[Any]) -> list[Any]:
        """The entries of this page."""
        rest = list(entries[self.offset :])
        return rest if self.limit < 0 else rest[: self.limit]


def _directory(request: Request) -> SchemaDirectory:
    directory: SchemaDirectory = request.app.state.schema_directory
    return directory


Directory = Annotated[SchemaDirectory, Depends(_directory)]
Paging = Annotated[Page, Depends()]

# `app.state.schema_directory` must be set where this is included
router = APIRouter(route_class=RegistryRoute, default_response_class=RegistryResponse, tags=["schema registry"])


@router.get("/")
async def root() -> dict[str, str]:
    """Clients ask this to see whether a registry is there."""
    return {}


@router.get("/subjects")
async def list_subjects(directory: Directory, page: Paging, subjectPrefix: str = "") -> list[str]:
    """Names of the subjects. The prefix `:*:` stands for all contexts; ours are in the only one."""
    prefix = subjectPrefix.removeprefix(":*:")
    return page.cut([subject for subject in directory.subjects() if subject.startswith(prefix)])


@router.get("/subjects/{subject}/versions")
async def list_versions(subject: str, directory: Directory, page: Paging) -> list[int]:
    """Versions of a subject, oldest first."""
    return page.cut(list(directory.versions(subject)))


@router.get("/subjects/{subject}/versions/{version}")
async def get_version(subject: str, version: str, directory: Directory) -> dict[str, Any]:
    """One version of a subject."""
    return _described(directory.version(subject, version))


@router.get("/subjects/{subject}/versions/{version}/schema")
async def get_version_schema(subject: str, version: str, directory: Directory) -> Response:
    """The bare schema of a version."""
    return Response(_text(directory.version(subject, version)), media_type=MEDIA_TYPE)


@router.get("/subjects/{subject}/versions/{version}/referencedby")
async def list_references(subject: str, version: str, directory: Directory) -> list[int]:
    """Ids of the schemas that refer to this one: none, each stands alone."""
    directory.version(subject, version)
    return []


@router.post("/subjects/{subject}")
async def look_up(subject: str, body: SchemaBody, directory: Directory) -> dict[str, Any]:
    """The version of the subject that has this content, however it is spelt."""
    found = directory.find(subject, body.text, body.type)
    if found is None:
        raise RegistryError(HTTPStatus.NOT_FOUND, 40403, "Schema not found")
    return _described(found)


@router.post("/subjects/{subject}/versions")
async def register(subject: str, body: SchemaBody, directory: Directory) -> dict[str, Any]:
    """The id of a schema that is there already, as serializers with `auto.register.schemas` ask; others are refused."""
    found = directory.find(subject, body.text, body.type) if directory.has_subject(subject) else None
    if found is None:
        raise _read_only(f"this schema is not a released one of subject '{subject}'")
    return {"id": found.id, "version": found.version}


@router.get("/schemas/types")
async def list_types() -> list[str]:
    """Kinds of schema."""
    return ["AVRO"]


@router.get("/schemas/ids/{schema_id}")
async def get_by_id(schema_id: int, directory: Directory) -> dict[str, str]:
    """The schema that the 4 bytes in front of an event name."""
    return {"schema": _text(directory.by_id(schema_id))}


@router.get("/schemas/ids/{schema_id}/schema")
async def get_schema_by_id(schema_id: int, directory: Directory) -> Response:
    """The bare schema with this id."""
    return Response(_text(directory.by_id(schema_id)), media_type=MEDIA_TYPE)


@router.get("/schemas/ids/{schema_id}/subjects")
async def list_subjects_of_id(schema_id: int, directory: Directory, page: Paging) -> list[str]:
    """Subjects that have this schema."""
    return page.cut([directory.by_id(schema_id).subject])


@router.get("/schemas/ids/{schema_id}/versions")
async def list_versions_of_id(schema_id: int, directory: Directory, page: Paging) -> list[dict[str, Any]]:
    """Subjects and versions that have this schema."""
    found = directory.by_id(schema_id)
    return page.cut([{"subject": found.subject, "version": found.version}])


@router.get("/config")
async def get_config() -> dict[str, str]:
    """What every new version of a schema is held to."""
    return {"compatibilityLevel": COMPATIBILITY}


@router.get("/config/{subject}")
async def get_subject_config(subject: str, directory: Directory, defaultToGlobal: bool = False) -> dict[str, str]:
    """The same for a subject; 40408 for one that isn't ours."""
    if not (defaultToGlobal or directory.has_subject(subject)):
        message = f"Subject '{subject}' does not have subject-level compatibility configured"
        raise RegistryError(HTTPStatus.NOT_FOUND, 40408, message)
    return {"compatibilityLevel": COMPATIBILITY}


@router.get("/mode")
async def get_mode() -> dict[str, str]:
    """Whether schemas can be registered: never."""
    return {"mode": MODE}


@router.get("/mode/{subject}")
async def get_subject_mode(subject: str, directory: Directory, defaultToGlobal: bool = False) -> dict[str, str]:
    """The same for a subject; 40409 for one that isn't ours."""
    if not (defaultToGlobal or directory.has_subject(subject)):
        message = f"Subject '{subject}' does not have subject-level mode configured"
        raise RegistryError(HTTPStatus.NOT_FOUND, 40409, message)
    return {"mode": MODE}


@router.delete("/subjects/{subject}")
@router.delete("/subjects/{subject}/versions/{version}")
@router.put("/config")
@router.put("/config/{subject}")
@router.delete("/config")
@router.delete("/config/{subject}")
@router.put("/mode")
@router.put("/mode/{subject}")
@router.delete("/mode/{subject}")
async def refuse_write() -> None:
    """All that would change the registry."""
    raise _read_only("schemas and their configuration change with releases of AAM")


def _read_only(why: str) -> RegistryError:
    # 42205: what Confluent's registry answers to writes in mode READONLY
    return RegistryError(HTTPStatus.UNPROCESSABLE_ENTITY, 42205, f"The registry is read-only: {why}")


def _error(status: int, code: int, message: str) -> Response:
    return RegistryResponse({"error_code": code, "message": message}, status_code=status)


def _described(schema: ReleasedSchema) -> dict[str, Any]:
    return {
        "subject": schema.subject,
        "id": schema.id,
        "version": schema.version,
        "schemaType": "AVRO",
        "schema": _text(schema),
    }


def _text(schema: ReleasedSchema) -> str:
    return json.dumps(schema.entity.avro, separators=(",", ":"), ensure_ascii=False)
