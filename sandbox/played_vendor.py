"""One vendor at work: finds what a request is for, and answers with records, a list of fields, a token or an error."""

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from sandbox.access import give_token, is_let_in, is_token_request
from sandbox.asked import Asked, Unreadable, path_pattern
from sandbox.bad_days import instead, spoil
from sandbox.control import Commands, Fault
from sandbox.dataset import Dataset
from sandbox.drift import Change
from sandbox.field_list import list_fields
from sandbox.limits import Limits, told
from sandbox.listing import BadRequest, NoParent, NotFound, Reply, list_records, read_token
from sandbox.vendor import Answer, Entity, Fields, Vendor

Chance = Callable[[Fault], bool]
"""Whether a fault strikes this time."""

_JSON: Final = "application/json; charset=utf-8"


class PlayedVendor:
    """A vendor with its records. `documents` are further paths and what writes their JSON."""

    def __init__(
        self,
        vendor: Vendor,
        records: int,
        seed: int,
        limits: Limits,
        documents: Mapping[str, Callable[[], bytes]] | None = None,
    ) -> None:
        self.vendor = vendor
        self._records, self._seed, self._limits = records, seed, limits
        self._documents = documents or {}
        self._datasets: dict[str, tuple[tuple[Change, ...], Dataset]] = {}
        self._routes = [route for name, entity in vendor.entities.items() for route in _routes(vendor, name, entity)]

    def dataset(self, entity: str, changes: tuple[Change, ...] = ()) -> Dataset:
        """An entity's records as drift has made them."""
        kept = self._datasets.get(entity)
        if kept is None or kept[0] != changes:
            kept = changes, Dataset(self.vendor, entity, self._records, self._seed, changes)
            self._datasets[entity] = kept
        return kept[1]

    async def answer(self, asked: Asked, commands: Commands, strikes: Chance) -> Reply:
        """The vendor's answer."""
        asked.path = self._own_path(asked.path)
        errors = self.vendor.errors
        try:
            return await self._answer(asked, commands, strikes)
        except (BadRequest, Unreadable) as error:
            return self.error(errors.bad_request, str(error))
        except NoParent:
            return self.error(errors.no_parent or errors.not_found, asked.path)
        except NotFound:
            return self.error(errors.not_found, asked.path)

    async def _answer(self, asked: Asked, commands: Commands, strikes: Chance) -> Reply:
        oauth = self.vendor.auth.oauth
        if oauth is not None and is_token_request(oauth, asked):
            return give_token(oauth, asked)
        entity = self._find(asked)
        if not is_let_in(self.vendor, asked):
            return self.error(self.vendor.errors.auth, "sandbox")
        verdict = self._limits.count(self.vendor, asked.headers.get("authorization", ""), entity or "")
        if verdict.wait is not None:
            return self.error(self.vendor.errors.limit, "", verdict.headers, verdict.wait)
        faults = [fault for fault in commands.faults if fault.hits(self.vendor.name, entity or "") and strikes(fault)]
        reply = await self._on_a_day(faults, entity, asked, commands)
        reply.headers = {"Content-Type": _JSON} | dict(self.vendor.headers) | verdict.headers | reply.headers
        return reply

    def error(
        self, answer: Answer, message: str = "", headers: Mapping[str, str] | None = None, wait: float = 1.0
    ) -> Reply:
        """One of the vendor's errors."""
        own = told(dict(answer.headers), None, 0, wait, wait)
        body = b"" if answer.body is None else orjson.dumps(_with_message(answer.body, message))
        return Reply(answer.status, body, {"Content-Type": _JSON} | dict(headers or {}) | own)

    async def _on_a_day(self, faults: Sequence[Fault], entity: str | None, asked: Asked, commands: Commands) -> Reply:
        kinds: dict[str, Fault] = {fault.kind: fault for fault in faults}
        if "slow" in kinds:
            await asyncio.sleep(kinds["slow"].seconds)
        errors = self.vendor.errors
        reply = instead(kinds, lambda wait: self.error(errors.limit, "", wait=wait), lambda: self.error(errors.server))
        if reply is None:
            reply = self._plain(entity, asked, commands, kinds)
            spoil(reply, kinds)
        return reply

    def _plain(self, entity: str | None, asked: Asked, commands: Commands, kinds: Mapping[str, Fault]) -> Reply:
        if entity is None:
            return Reply(200, self._documents[asked.path]())
        changes = commands.drift.get(f"{self.vendor.name}/{entity}", ())
        if self._asks_for_fields(asked, self.vendor.entities[entity]):
            return Reply(200, list_fields(self.dataset(entity, changes)))
        if "keyless" in kinds:
            changes = (*changes, *(Change(kind="remove", field=name) for name in self.dataset(entity).key_fields()))
        dataset = self.dataset(entity, changes)
        return list_records(dataset, asked, endless="endless" in kinds, repeat="repeat" in kinds)

    def _own_path(self, path: str) -> str:
        for prefix in (f"/{self.vendor.name}", self.vendor.base_path):
            if prefix and path.startswith(f"{prefix}/"):
                path = path[len(prefix) :]
        return path

    def _find(self, asked: Asked) -> str | None:
        """The entity that is meant; None for a document. Raises NotFound."""
        if asked.path in self._documents:
            return None
        for method, pattern, name in self._routes:
            found = pattern.fullmatch(asked.path) if method == asked.method else None
            if found is None:
                continue
            asked.params = found.groupdict()
            entity = self.vendor.entities[name]
            if "locator" in asked.params:
                token = read_token(asked.params["locator"])
                if token is not None and token[0] == name:
                    return name
            elif all(asked.read(place) for place in entity.when) or self._asks_for_fields(asked, entity):
                return name
        raise NotFound

    def _asks_for_fields(self, asked: Asked, entity: Entity) -> bool:
        if self.vendor.fields is None or entity.object is None or asked.method != "GET":
            return False
        return fields_path(self.vendor.fields, entity.object).fullmatch(asked.path) is not None


def _routes(vendor: Vendor, name: str, entity: Entity) -> list[tuple[str, re.Pattern[str], str]]:
    routes: list[tuple[str, re.Pattern[str], str]] = [(entity.method, path_pattern(entity.path), name)]
    position = vendor.pagings[entity.paging].position
    if position is not None and position.path:
        routes.append(("GET", path_pattern(position.path.replace("{token}", "{locator}")), name))
    if vendor.fields is not None and entity.object is not None:
        routes.append(("GET", fields_path(vendor.fields, entity.object), name))
    return routes


def fields_path(fields: Fields, name: str) -> re.Pattern[str]:
    """Where an entity's fields are listed."""
    return path_pattern(fields.path.replace("{object}", name))


def _with_message(body: Any, message: str) -> Any:
    if isinstance(body, str):
        return body.replace("{message}", message)
    if isinstance(body, list):
        return [_with_message(element, message) for element in body]
    if isinstance(body, dict):
        return {key: _with_message(value, message) for key, value in body.items()}
    return body
