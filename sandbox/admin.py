"""`/_sandbox`: what the sandbox plays, and the commands that change it. For whoever runs it, on this machine."""

from typing import Protocol

import orjson
from pydantic import ValidationError

from sandbox import access
from sandbox.asked import Asked, Unreadable
from sandbox.control import Control, Fault
from sandbox.drift import Change
from sandbox.listing import Reply
from sandbox.played_vendor import PlayedVendor

CREDENTIALS = {
    "token": access.TOKEN,
    "api_key": access.TOKEN,
    "access_token": access.TOKEN,
    "password": access.TOKEN,
    "api_token": access.TOKEN,
    "username": access.USERNAME,
    "email": access.USERNAME,
    "client_id": access.CLIENT_ID,
    "client_secret": access.CLIENT_SECRET,
    "refresh_token": access.REFRESH_TOKEN,
    "access_key_id": access.ACCESS_KEY_ID,
    "secret_access_key": access.SECRET_ACCESS_KEY,
}
"""By the names that specs give them; no secrets, and the same for all vendors."""


class Sandbox(Protocol):
    """What is commanded."""

    control: Control

    def names(self) -> list[str]: ...
    def vendor(self, name: str) -> PlayedVendor | None: ...


def answer(sandbox: Sandbox, asked: Asked) -> Reply:
    """The answer to a request for `/_sandbox…`."""
    try:
        return _answer(sandbox, asked)
    except (ValidationError, Unreadable, LookupError) as error:
        said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error).strip("'")
        return Reply(400, orjson.dumps({"error": said}))


def _answer(sandbox: Sandbox, asked: Asked) -> Reply:
    what = asked.path.strip("/")
    if asked.method == "GET" and not what:
        return _json({"vendors": sandbox.names(), "credentials": CREDENTIALS})
    if asked.method == "GET" and what == "commands":
        return _json(sandbox.control.commands().model_dump(mode="json"))
    if asked.method == "POST" and what == "drift":
        vendor, entity = (str(asked.body.pop(name, "")) for name in ("vendor", "entity"))
        _check(sandbox, vendor, entity)
        return _json(sandbox.control.drift(vendor, entity, Change.model_validate(asked.body)).model_dump(mode="json"))
    if asked.method == "POST" and what == "faults":
        fault = Fault.model_validate(asked.body)
        _check(sandbox, fault.vendor, fault.entity)
        return _json(sandbox.control.fault(fault).model_dump(mode="json"))
    if asked.method == "DELETE" and what == "commands":
        return _json(sandbox.control.clear().model_dump(mode="json"))
    return Reply(404, b'{"error": "no such command"}')


def _check(sandbox: Sandbox, vendor: str, entity: str | None) -> None:
    if vendor == "*":
        return
    played = sandbox.vendor(vendor)
    if played is None:
        raise LookupError(f"the sandbox plays no vendor {vendor}; there are {', '.join(sandbox.names()[:20])}")
    if entity is not None and entity not in played.vendor.entities:
        raise LookupError(f"{vendor} has no entity {entity}; there are {', '.join(played.vendor.entities)}")


def _json(value: object) -> Reply:
    return Reply(200, orjson.dumps(value))
