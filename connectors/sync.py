"""Reads a connection's entities from its vendor, in full or what changed, page by page, and never publishes.

Each `Batch` holds records and, for after their delivery, where the sync then stands: a sync that is killed goes on from
the last position that was written, so nothing is lost and a page may come twice. One entity's failure ends that entity
only. What arrives is checked in `connectors.read_records` and `connectors.paging`; a bad page gives no records at all.
"""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connectors import increments
from connectors.errors import ActionRequired, BadResponse, VendorUnavailable
from connectors.expressions import expression, is_true
from connectors.field_lists import field_lists, joined
from connectors.page import Page
from connectors.paging import PageGuard, next_page, page_request
from connectors.paging_detection import detect, is_complete
from connectors.read_records import RecordReader
from connectors.request_parts import PageRequest, place_of
from connectors.source_record import RecordShape, SourceRecord
from connectors.sync_state import NO_PARENT, Position, Run, StateKey, States
from connectors.vendor import PagingEnded, Vendor
from schemas.connector_spec import EntitySpec
from schemas.failures import AamError
from schemas.paging_spec import Pagination
from schemas.spec_part import variables_of

JOIN_TRIES: Final = 3
_QUEUED_BATCHES: Final = 2


@dataclass(frozen=True, slots=True)
class Batch:
    """One page's records, in order; `positions` hold once they are delivered."""

    entity: str
    records: Sequence[SourceRecord]
    positions: Mapping[StateKey, Position]
    observed_at_ms: int
    total: int | None = None
    """How many records there are in all, where the vendor tells."""


@dataclass(frozen=True, slots=True)
class EntityEnd:
    """An entity is through, or failed with `error`; what was yielded before stays good."""

    entity: str
    error: AamError | None = None


@dataclass
class _Listing:
    """One walk through the pages of an entity, for one parent or none."""

    name: str
    entity: EntitySpec
    variables: dict[str, Any]
    key: StateKey
    position: Position
    guard: PageGuard = field(init=False)
    reader: RecordReader = field(init=False)

    def __post_init__(self) -> None:
        self.guard = PageGuard(self.entity.pagination)
        self.reader = RecordReader(self.entity, self.variables)


async def sync(
    vendor: Vendor, names: Iterable[str], states: States, *, full: bool = False, at_once: int = 4
) -> AsyncIterator[Batch | EntityEnd]:
    """Batches of all entities of `names`, several entities at once, and an `EntityEnd` for each.

    Args:
        states: where earlier syncs ended; not changed.
        full: everything, whatever was read before; incremental syncs go on from there.
        at_once: entities that are read at the same time.
    Raises:
        ActionRequired: the connection can't go on; entities that are under way end.
    """
    queue: asyncio.Queue[Batch | EntityEnd | ActionRequired] = asyncio.Queue(_QUEUED_BATCHES)
    slots = asyncio.Semaphore(at_once)

    async def run(name: str) -> None:
        async with slots:
            try:
                async for batch in EntitySync(vendor, name, states, full=full).batches():
                    await queue.put(batch)
            except ActionRequired as error:
                await queue.put(error)
            except AamError as error:
                await queue.put(EntityEnd(name, error))
            else:
                await queue.put(EntityEnd(name))

    tasks = [asyncio.create_task(run(name)) for name in names]
    try:
        for _ in range(len(tasks)):
            while not isinstance(item := await _next(queue, tasks), EntityEnd):
                if isinstance(item, ActionRequired):
                    raise item
                yield item
            yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _next(queue: "asyncio.Queue[Any]", tasks: Sequence["asyncio.Task[None]"]) -> Any:
    """The next item; a bug in one of the tasks comes out here instead of being waited for."""
    getter = asyncio.create_task(queue.get())
    while True:
        failed = next((task for task in tasks if task.done() and not task.cancelled() and task.exception()), None)
        if failed is not None:
            getter.cancel()
            await failed
        running = [task for task in tasks if not task.done()]
        done, _ = await asyncio.wait([getter, *running], return_when=asyncio.FIRST_COMPLETED)
        if getter in done:
            return getter.result()


class EntitySync:
    """One entity of one connection."""

    def __init__(self, vendor: Vendor, name: str, states: States, *, full: bool = False) -> None:
        self._vendor = vendor
        self._name = name
        self._entity = vendor.spec.entities[name]
        self._states = states
        self._full = full
        self._field_lists: Sequence[str] = ()  # what {fields} stands for, request by request

    async def batches(self) -> AsyncIterator[Batch]:
        """All batches, the last of which says that the entity is done. Raises AamErrors."""
        variables = await self._variables()
        if self._entity.parent is None:
            position = self._states.get((self._name, NO_PARENT), Position())
            listing = _Listing(
                self._name, self._entity, variables, (self._name, NO_PARENT), position.model_copy(deep=True)
            )
            async for batch in self._listing(listing):
                yield batch
            return
        async for batch in self._per_parent(variables):
            yield batch

    async def first_page(self) -> tuple[Sequence[dict[str, Any]], Pagination, str, int | None]:
        """(records, paging, why it is so, total) of one page, for a test; of the first parent that has one."""
        variables = await self._variables()
        if self._entity.parent is not None:
            async for parent in self._parents(self._entity.parent.entity):
                variables |= self._parent_variables(parent)
                break
            else:
                return [], self._entity.pagination, "no parent has any", None
        listing = _Listing(self._name, self._entity, variables, (self._name, NO_PARENT), Position())
        run = self._begin(listing)
        page, records = await self._page(listing, run)
        paging, reason = listing.entity.pagination, listing.position.paging_reason or "as the spec says"
        return records, paging, reason, _total(paging, page)

    async def _variables(self) -> dict[str, Any]:
        variables = await self._vendor.variables()
        asked = variables_of([self._entity.endpoint, self._entity.params, self._entity.body])
        if "fields" in asked and self._entity.fields_endpoint is not None:
            where = self._entity.fields_endpoint
            entries = await self._vendor.fields(self._name, self._entity, where)
            names = [expression(where.name)(entry) for entry in entries]
            named = dict.fromkeys(name for name in names if isinstance(name, str))
            self._field_lists = field_lists(named, where.max_characters)
        return variables

    async def _per_parent(self, variables: dict[str, Any]) -> AsyncIterator[Batch]:
        """Each parent's listing in turn. One that fails doesn't keep the others from being read, and is told last."""
        assert self._entity.parent is not None
        own = self._states.get((self._name, NO_PARENT), Position())
        run_id = own.run_id or secrets.token_hex(8)
        if own.run_id is None:
            yield self._marker((self._name, NO_PARENT), Position(run_id=run_id))
        failed: list[BadResponse] = []
        async for parent in self._parents(self._entity.parent.entity):
            given = self._parent_variables(parent)
            key = (self._name, json.dumps(given[self._entity.parent.param]))
            position = self._states.get(key, Position()).model_copy(deep=True)
            if position.run_id == run_id and position.run is None:
                continue
            position.run_id = run_id
            try:
                async for batch in self._listing(_Listing(self._name, self._entity, variables | given, key, position)):
                    yield batch
            except BadResponse as error:
                failed.append(error)
        if failed:
            raise BadResponse(f"{len(failed)} parents failed, the first with: {failed[0]}", failed[0].fix)
        yield self._marker((self._name, NO_PARENT), Position())

    async def _parents(self, name: str) -> AsyncIterator[Mapping[str, Any]]:
        """The records of the entity above, all of them, from its own parents down."""
        above = EntitySync(self._vendor, name, {}, full=True)
        entity = above._entity
        when = expression(self._entity.parent.when) if self._entity.parent and self._entity.parent.when else None
        variables = await above._variables()
        if entity.parent is None:
            rounds: list[dict[str, Any]] = [{}]
        else:
            rounds = [above._parent_variables(record) async for record in above._parents(entity.parent.entity)]
        for given in rounds:
            listing = _Listing(name, entity, variables | given, (name, NO_PARENT), Position())
            async for _, records in above._pages(listing):
                for record in records:
                    if when is None or is_true(when(record)):
                        yield record

    def _parent_variables(self, record: Mapping[str, Any]) -> dict[str, Any]:
        parent = self._entity.parent
        assert parent is not None
        value = expression(parent.key)(record)
        if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
            raise BadResponse(f"a {parent.entity} has nothing at {parent.key}", "check parent.key in the spec")
        return {parent.param: value}

    async def _listing(self, listing: _Listing) -> AsyncIterator[Batch]:
        shape = RecordShape(self._name, self._vendor.spec, listing.reader.key_text)
        async for page, records in self._pages(listing):
            made = shape.records(records)
            observed = round(self._vendor.clock.now() * 1000)
            position = listing.position.model_copy(deep=True)
            yield Batch(
                self._name,
                made,
                {listing.key: position},
                observed,
                _total(listing.entity.pagination, page),
            )

    async def _pages(self, listing: _Listing) -> AsyncIterator[tuple[Page | None, Sequence[dict[str, Any]]]]:
        """(page, its records that are new): the listing's position is what holds after them."""
        run = self._begin(listing)
        restarted, resumed = False, run.token is not None
        while True:
            try:
                page, records = await self._page(listing, run)
            except (PagingEnded, BadResponse) as error:
                if restarted or not (isinstance(error, PagingEnded) or resumed):
                    raise
                restarted, resumed = True, False
                run = self._begin_again(listing)
                continue
            resumed = False
            token = None
            if page is not None:
                following = next_page(listing.entity, run.token, page, records)
                if following.doubtful:
                    await self._probe(listing, run, len(records))
                token = following.token
                listing.guard.check(page, records, token)
            new, all_old = increments.wanted(listing.entity.incremental, records, run)
            ending = None if all_old else token
            now = self._vendor.clock.now()
            if increments.advance(listing.entity, listing.position, run, ending, page, now=now):
                listing.guard = PageGuard(listing.entity.pagination)
            yield page, new
            if listing.position.run is None:
                return
            run = listing.position.run

    async def _page(self, listing: _Listing, run: Run) -> tuple[Page | None, list[dict[str, Any]]]:
        entity = listing.entity
        place = place_of(entity, entity.pagination.in_)
        request = page_request(entity.pagination, run.token, place)
        return await self._asked(listing, run, request)

    async def _asked(
        self, listing: _Listing, run: Run, request: PageRequest
    ) -> tuple[Page | None, list[dict[str, Any]]]:
        """A page and its records; of several requests where one can't name all fields."""
        for _ in range(JOIN_TRIES):
            pages: list[Page] = []
            for fields in self._field_lists or ("",):
                page = await self._asked_once(listing, run, request, fields)
                if page is None:
                    return None, []
                pages.append(page)
            records = joined([listing.reader.read(page) for page in pages], listing.reader.key_text)
            if records is not None:
                break
        else:
            raise VendorUnavailable("the records change faster than all of their fields can be asked for")
        if not is_complete(listing.entity.pagination):
            self._complete(listing, pages[0], records)
        return pages[0], records

    async def _asked_once(self, listing: _Listing, run: Run, request: PageRequest, fields: str) -> Page | None:
        since, extra = increments.bounds(listing.entity, run)
        variables = listing.variables | since | {"fields": fields}
        return await self._vendor.ask(self._name, listing.entity, variables, request, extra)

    def _complete(self, listing: _Listing, page: Page, records: Sequence[Any]) -> None:
        found = detect(listing.entity.pagination, page, records)
        if found.paging.kind != "none":  # else seen anew each time: there may be more by then
            listing.position.paging = found.paging.model_dump(by_alias=True, exclude_defaults=True)
        listing.position.paging_reason = found.reason
        listing.entity = listing.entity.model_copy(update={"pagination": found.paging})
        listing.guard = PageGuard(found.paging)

    async def _probe(self, listing: _Listing, run: Run, count: int) -> None:
        """Asks for a smaller page, which must lead on; else the spec's paging is wrong and would lose records."""
        paging = listing.entity.pagination
        said = f"a full page of {count} records ends the stream without a sign that it is the last"
        if paging.kind == "none":
            raise BadResponse(said, "declare how the next page is asked for")
        if not paging.size_param or count < 2:
            if paging.page_size == count and count > 1:
                raise BadResponse(said, "check cursor_path, or give size_param so that it can be tested")
            return
        smaller = paging.model_copy(update={"page_size": count - 1})
        request = page_request(smaller, run.token, place_of(listing.entity, paging.in_))
        page, records = await self._asked(listing, run, request)
        if page is None or len(records) > count - 1:
            return  # the vendor heeds no size: a page isn't cut off by it
        if next_page(listing.entity, run.token, page, records).token is None:
            raise BadResponse(said, f"check the paging of {self._name}: cursor_path finds nothing where there is more")

    def _begin(self, listing: _Listing) -> Run:
        position = listing.position
        if position.paging is not None and not is_complete(listing.entity.pagination):
            paging = Pagination.model_validate_json(json.dumps(position.paging))
            listing.entity = listing.entity.model_copy(update={"pagination": paging})
            listing.guard = PageGuard(paging)
        if position.run is not None and position.run.full >= self._full:
            return position.run
        now = self._vendor.clock.now()
        position.run = increments.begin(listing.entity, position, listing.variables, now=now, full=self._full)
        return position.run

    def _begin_again(self, listing: _Listing) -> Run:
        listing.position.run = None
        listing.position.cursor = None
        listing.guard = PageGuard(listing.entity.pagination)
        return self._begin(listing)

    def _marker(self, key: StateKey, position: Position) -> Batch:
        return Batch(self._name, (), {key: position}, round(self._vendor.clock.now() * 1000))


def _total(paging: Pagination, page: Page | None) -> int | None:
    found = expression(paging.total_path)(page.data) if paging.total_path and page is not None else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None
