"""`/_sandbox`: what the sandbox plays, and the commands that change it. For whoever runs it, on this machine."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Protocol

import orjson
from pydantic import ValidationError

from sandbox import access
from sandbox.asked import Asked, Unreadable
from sandbox.control import Commands, Control, Fault
from sandbox.drift import Change
from sandbox.generated_vendors import MadeVendor
from sandbox.listing import Reply
from sandbox.made_vendors import MadeVendors
from sandbox.played_vendor import PlayedVendor
from sandbox.vendor_documents import connector_spec, true_fields

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
    generated: MadeVendors

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
    what, _, name = asked.path.strip("/").partition("/")
    known: dict[tuple[str, str], Callable[[], object]] = {
        ("GET", ""): lambda: {"vendors": sandbox.names(), "credentials": CREDENTIALS},
        ("GET", "commands"): sandbox.control.commands,
        ("GET", "specs"): lambda: connector_spec(_generated(sandbox, name)),
        ("GET", "truth"): lambda: [asdict(field) for field in true_fields(_generated(sandbox, name))],
        ("POST", "drift"): lambda: _drift(sandbox, asked.body),
        ("POST", "faults"): lambda: _fault(sandbox, asked.body),
        ("DELETE", "commands"): sandbox.control.clear,
    }
    command = known.get((asked.method, what))
    if command is None:
        return Reply(404, b'{"error": "no such command"}')
    value = command()
    return Reply(200, orjson.dumps(value.model_dump(mode="json") if isinstance(value, Commands) else value))


def _drift(sandbox: Sandbox, body: dict[str, Any]) -> Commands:
    vendor, entity = (str(body.pop(name, "")) for name in ("vendor", "entity"))
    _check(sandbox, vendor, entity)
    return sandbox.control.drift(vendor, entity, Change.model_validate(body))


def _fault(sandbox: Sandbox, body: dict[str, Any]) -> Commands:
    fault = Fault.model_validate(body)
    _check(sandbox, fault.vendor, fault.entity)
    return sandbox.control.fault(fault)


def _generated(sandbox: Sandbox, name: str) -> MadeVendor:
    made = sandbox.generated.get(name)
    if made is None:
        raise LookupError(f"there is no generated vendor {name}; run aam sandbox with --vendors")
    return made


def _check(sandbox: Sandbox, vendor: str, entity: str | None) -> None:
    if vendor == "*":
        return
    played = sandbox.vendor(vendor)
    if played is None:
        raise LookupError(f"the sandbox plays no vendor {vendor}; there are {', '.join(sandbox.names()[:20])}")
    if entity is not None and entity not in played.vendor.entities:
        raise LookupError(f"{vendor} has no entity {entity}; there are {', '.join(played.vendor.entities)}")
