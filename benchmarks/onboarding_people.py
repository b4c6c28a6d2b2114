"""Who answers while vendors are onboarded: a person who knows, for the first ones, and a model that reads names.

The person confirms what each vendor's entity is, wherever that is in doubt. Of the first vendors the open fields are
settled, too, for all tenants, and what was decided without a question is confirmed, so that it teaches; everything else
waits in review. The model is a stand-in, no oracle: it takes the candidate whose name is most like the field's, so what
it costs is real and what it knows is little.
"""

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Any, Final

from rapidfuzz import fuzz

from benchmarks.onboarding_vendors import Truth
from mapping.mapping_set import ANY_TENANT, Transform
from mapping.mapping_set import Mapping as FieldMapping
from registry.audit import Decision
from registry.edits import Declaration, Key, SetEdit
from registry.errors import InvalidDecision, InvalidMapping
from registry.mapping_store import MappingStore
from registry.pool import Pool, transaction
from registry.read_states import read_states
from registry.review import ReviewFilter, ReviewGroup, ReviewQueue
from registry.write_changes import take_turn
from schemas.canonical_model import FieldKind, load_entities

PAUSE_SECONDS: Final = 0.5
AT_ONCE: Final = 500
_ALIKE: Final = 80.0
_DECIDED: Final = """SELECT source_system, source_entity, path, verdict, evidence -> 'candidates' -> 0
    FROM novel_field WHERE source_system = ANY(%s) AND verdict IN ('active', 'provisional', 'nothing')"""
_STEPS: Final = {
    FieldKind.TIMESTAMP: "epoch_seconds",
    FieldKind.DATE: "iso_date",
    FieldKind.DECIMAL: "number",
    FieldKind.LONG: "number",
    FieldKind.DOUBLE: "number",
    FieldKind.BOOLEAN: "boolean",
}


def answer_by_names(message: dict[str, Any]) -> dict[str, Any]:
    """What the stand-in for a language model answers to a question."""
    return {key: _answer(field) for key, field in message["source_fields"].items()}


def _answer(field: Mapping[str, Any]) -> dict[str, Any]:
    name = _words(field["name"].rpartition(".")[2])
    scores = {c: fuzz.token_sort_ratio(name, _words(c.rpartition(".")[2])) for c in field["candidates"] if c != "none"}
    best = max(scores, key=lambda candidate: scores[candidate], default="none")
    if scores.get(best, 0.0) < _ALIKE:
        return {"target": "none", "transform": "unsure", "confidence": 0.7}
    return {"target": best, "transform": "copy", "confidence": 0.9}


def _words(name: str) -> str:
    return " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", name)).lower()


class Reviewer:
    """Answers the queue in a thread until stopped. `settles`: connectors whose fields are settled, too."""

    def __init__(self, pool: Pool, truths: Mapping[str, Truth], settles: Collection[str]) -> None:
        self.answers: Counter[str] = Counter()
        self._pool = pool
        self._queue = ReviewQueue(pool)
        self._truths = truths
        self._settles = set(settles)
        self._left_alone: set[int] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._review, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Returns when the last answer is given."""
        self._stopping.set()
        self._thread.join()

    def _review(self) -> None:
        while not self._stopping.wait(PAUSE_SECONDS):
            self.round()

    def round(self) -> int:
        """Answer what is open; how many answers were given."""
        given = 0
        for group in self._open():
            if group.id in self._left_alone:
                continue
            try:
                given += self._answer(group)
            except (InvalidDecision, InvalidMapping):
                self.answers["impossible"] += 1
                self._left_alone.add(group.id)
        return given

    def confirm(self, connectors: Collection[str]) -> None:
        """Say for all tenants what was decided without a question, where it is right. They are settled then."""
        self._settles.difference_update(connectors)
        with transaction(self._pool) as connection:
            rows = connection.execute(_DECIDED, (list(connectors),)).fetchall()
        by_source: dict[Key, list[tuple[str, str, Any]]] = defaultdict(list)
        for connector, entity, *decided in rows:
            by_source[ANY_TENANT, connector, entity].append((decided[0], decided[1], decided[2]))
        for key, decided_fields in by_source.items():
            try:
                self._confirm(key, decided_fields)
            except (InvalidDecision, InvalidMapping):
                self.answers["impossible"] += 1

    def _confirm(self, key: Key, decided: list[tuple[str, str, Any]]) -> None:
        truth = self._truths[key[1]]
        mappings, nothing = [], []
        for path, verdict, best in decided:
            right = truth.fields.get(path)
            if verdict == "nothing" and right is None:
                nothing.append(path)
            elif verdict in ("active", "provisional") and right == best["field"]:
                transform = Transform.model_validate(best["transform"])
                mappings.append(
                    FieldMapping(
                        canonical_entity=truth.canonical_entity,
                        canonical_field=right,
                        source_field=path,
                        transform=transform,
                    )
                )
        with transaction(self._pool) as connection:
            take_turn(connection)
            state = read_states(connection, {key})[key]
            held = {target for target, version in state.holding.items() if version.status != "removed"}
            before = state.declaration or Declaration()
            edit = SetEdit(
                key,
                mappings=tuple(mapping for mapping in mappings if mapping.target not in held),
                declaration=Declaration(before.primary_key, tuple(dict.fromkeys((*before.ignored, *nothing)))),
            )
            MappingStore(self._pool).apply_within(connection, [edit], Decision("set", "person", "manual", "person"))
        self.answers["confirmed"] += len(mappings) + len(nothing)

    def _open(self) -> list[ReviewGroup]:
        groups = [g for g in self._queue.list(limit=AT_ONCE) if not g.item.path]
        for connector in sorted(self._settles):
            groups += self._queue.list(ReviewFilter(connector=connector), limit=AT_ONCE)
        return groups

    def _answer(self, group: ReviewGroup) -> int:
        truth = self._truths[group.item.connector]
        if not group.item.path:
            self._queue.choose(group.id, (truth.canonical_entity, ""), actor="person")
            self.answers["entity"] += 1
            return 1
        field = truth.fields.get(group.item.path)
        if field is None:
            self._queue.ignore(group.id, actor="person", scope="connector")
            self.answers["nothing"] += 1
            return 1
        suggested = next((c["transform"] for c in group.item.candidates if c["field"] == field), None)
        transform = Transform.model_validate(suggested) if suggested else _by_hand(truth.canonical_entity, field)
        self._queue.choose(group.id, (truth.canonical_entity, field), transform, "connector", actor="person")
        self.answers["mapped" if suggested else "mapped_by_hand"] += 1
        return 1


def _by_hand(entity: str, field: str) -> Transform:
    """A step into a field of that kind, where none was suggested: which one is right is not measured here."""
    kind = dict(load_entities()[entity].targets())[field].kind
    return Transform(op=_STEPS.get(kind, "copy") if kind else "copy")
