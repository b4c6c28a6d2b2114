"""Brings the registry to what a mapping file says, version by version, and remembers which it has seen.

A version counts for what it changed of the one before it; what it left alone, others may have changed since. Reading
files and their history is in `registry.yaml_mappings` and `registry.yaml_history`.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from psycopg.types.json import Jsonb

from mapping.mapping_set import Mapping as FieldMapping
from mapping.mapping_set import MappingSet
from registry.audit import Decision
from registry.edits import Declaration, Key, SetEdit, Target
from registry.mapping_store import MappingStore
from registry.pool import Connection, Pool, transaction
from registry.queries import parse
from registry.write_changes import take_turn
from registry.yaml_document import UnreadableYaml
from registry.yaml_form import Refusal
from registry.yaml_history import FileVersion
from registry.yaml_mappings import MappingFile, read_mappings
from schemas.failures import InvalidRecord

STATEMENTS: Final[Mapping[str, bytes]] = parse(Path(__file__).with_suffix(".sql").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class RefusedEntry:
    """What was not taken, and in which version: its commit, None for the file as it lies there."""

    commit: str | None
    refusal: Refusal


@dataclass(frozen=True)
class ImportReport:
    """What became of a file. `versions` were new, `mappings` are in its latest, `revision` is the registry's after it.

    `connector` None: no version could be read. `revision` None: a dry run.
    """

    connector: str | None
    tenant: str | None
    versions: int
    mappings: int
    revision: int | None
    refused: tuple[RefusedEntry, ...]


@dataclass(frozen=True)
class _Version:
    """A version that could be read, and the same before it."""

    version: FileVersion
    file: MappingFile
    before: MappingFile | None

    @property
    def content_hash(self) -> str:
        return hashlib.sha256(self.version.content).hexdigest()


@dataclass(frozen=True)
class _Known:
    """What the registry has seen of a file. `targets`: (source entity, target) that its latest version mapped."""

    commits: frozenset[str] = frozenset()
    latest_hash: str | None = None
    targets: frozenset[tuple[str, Target]] = frozenset()


@dataclass
class _Refusals:
    found: list[RefusedEntry] = field(default_factory=list)

    def read(self, version: FileVersion) -> MappingFile | None:
        """The file of `version`; what is refused is noted."""
        try:
            read = _read(version.content)
        except UnreadableYaml as error:
            self.add(version, Refusal(error.line, error.problem, error.remedy))
            return None
        for refusal in read.refused:
            self.add(version, refusal)
        return read

    def add(self, version: FileVersion, refusal: Refusal) -> None:
        self.found.append(RefusedEntry(version.commit, refusal))


def check_file(versions: Sequence[FileVersion]) -> ImportReport:
    """What an import would take and refuse, as far as that can be told without the registry."""
    refusals = _Refusals()
    read = _readable(versions, refusals)
    return _report(read, len(read), None, refusals)


def import_file(pool: Pool, store: MappingStore, versions: Sequence[FileVersion]) -> ImportReport:
    """Imports what is new of `versions` (oldest first), each in a transaction of its own.

    Raises RegistryUnavailable (retry: what was taken is not taken again) and RegistryMisconfigured.
    """
    refusals = _Refusals()
    read = _readable(versions, refusals)
    if not read:
        return _report(read, 0, None, refusals)
    with transaction(pool) as connection:
        known = _known(connection, read[-1].file)
    new = _unseen(read, known)
    revision = None
    for one in new:
        revision, targets = _take(pool, store, one, known, refusals)
        known = replace(known, targets=targets)
    if revision is None:
        with transaction(pool) as connection:
            revision = store.apply_within(connection, [], _decision(read[-1].version))
    return _report(read, len(new), revision, refusals)


def _readable(versions: Sequence[FileVersion], refusals: _Refusals) -> list[_Version]:
    read = []
    for version in versions:
        file = refusals.read(version)
        if file is not None:
            read.append(_Version(version, file, None if version.before is None else _before(version.before)))
    return read


def _before(content: bytes) -> MappingFile | None:
    try:
        return _read(content)
    except UnreadableYaml:
        return None


def _read(content: bytes) -> MappingFile:
    try:
        return read_mappings(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UnreadableYaml(line, "bytes that are no UTF-8", "save it as UTF-8 text") from error


def _unseen(read: Sequence[_Version], known: _Known) -> list[_Version]:
    if read[-1].content_hash == known.latest_hash:
        return []
    commits = [one for one in read if one.version.commit in known.commits]
    if commits:
        return [one for one in read if one.version.commit not in known.commits]
    # Seen before it had a history, or under another one: go on from the same text.
    same = [index for index, one in enumerate(read) if one.content_hash == known.latest_hash]
    return list(read[same[-1] + 1 if same else 0 :])


def _take(
    pool: Pool, store: MappingStore, one: _Version, known: _Known, refusals: _Refusals
) -> tuple[int, frozenset[tuple[str, Target]]]:
    """Applies one version and notes that it was seen: the revision after it, and what the file then maps."""
    mapped = {(found.entity, m.target) for found in one.file.sets for m in found.mappings}
    targets = frozenset(mapped | known.targets if one.file.refused else mapped)
    edits = _edits(one, known)
    try:
        return _apply(pool, store, one, edits, targets), targets
    except InvalidRecord:
        # A set doesn't fit to what the registry has. The others are taken.
        fitting = [edit for edit in edits if _fits(pool, store, one, edit, refusals)]
        return _apply(pool, store, one, fitting, targets), targets


def _fits(pool: Pool, store: MappingStore, one: _Version, edit: SetEdit, refusals: _Refusals) -> bool:
    try:
        with transaction(pool) as connection:
            take_turn(connection)
            store.apply_within(connection, [edit], _decision(one.version))
    except InvalidRecord as error:
        line = one.file.lines.get(edit.key[2], 1)
        refusals.add(one.version, Refusal(line, str(error), "change what it doesn't fit to, or the file"))
        return False
    return True


def _apply(
    pool: Pool,
    store: MappingStore,
    one: _Version,
    edits: Sequence[SetEdit],
    targets: Collection[tuple[str, Target]],
) -> int:
    with transaction(pool) as connection:
        take_turn(connection)
        revision = store.apply_within(connection, edits, _decision(one.version))
        row = {
            "tenant": one.file.tenant,
            "connector": one.file.connector,
            "commit": one.version.commit,
            "content_hash": one.content_hash,
            "targets": Jsonb([[entity, *target] for entity, target in sorted(targets)]),
            "revision": revision,
        }
        connection.execute(STATEMENTS["note_imported_file"], row)
        return revision


def _edits(one: _Version, known: _Known) -> list[SetEdit]:
    """What `one` changed: of the version before it in its history, or of what an earlier import said.

    A version of which something was refused removes nothing: what was meant to stay can't be told from what was not.
    """
    now = _by_key(one.file)
    former = _by_key(one.before)
    if one.version.commit is None:
        for entity, target in known.targets:
            key = (one.file.tenant, one.file.connector, entity)
            former.setdefault(key, ({}, None))[0][target] = None
    edits = []
    for key in dict.fromkeys([*now, *sorted(former)]):
        mappings, declaration = now.get(key, ({}, None))
        before, declared = former.get(key, ({}, None))
        changed = tuple(m for target, m in mappings.items() if m is not None and before.get(target) != m)
        gone = () if one.file.refused else tuple(sorted(before.keys() - mappings.keys()))
        declaration = None if declaration == declared else declaration
        if changed or gone or declaration:
            edits.append(SetEdit(key, changed, gone, declaration))
    return edits


def _by_key(file: MappingFile | None) -> dict[Key, tuple[dict[Target, FieldMapping | None], Declaration | None]]:
    return {
        one.key: (dict(zip((m.target for m in one.mappings), one.mappings, strict=True)), _declared(one))
        for one in (file.sets if file else ())
    }


def _declared(mapping_set: MappingSet) -> Declaration:
    return Declaration(mapping_set.primary_key, mapping_set.ignored)


def _decision(version: FileVersion) -> Decision:
    evidence: dict[str, Any] | None = None
    if version.commit is not None and version.at is not None:
        evidence = {"commit": version.commit, "authored_at": version.at.isoformat()}
    return Decision("import", version.author, "manual", version.author, version.message, evidence, version.at)


def _known(connection: Connection, file: MappingFile) -> _Known:
    source = {"tenant": file.tenant, "connector": file.connector}
    rows = connection.execute(STATEMENTS["imported_versions"], source).fetchall()
    if not rows:
        return _Known()
    (targets,) = connection.execute(STATEMENTS["imported_targets"], source).fetchone() or ([],)
    return _Known(
        frozenset(commit for commit, _ in rows if commit is not None),
        rows[-1][1],
        frozenset((entity, (canonical_entity, name)) for entity, canonical_entity, name in targets),
    )


def _report(read: Sequence[_Version], versions: int, revision: int | None, refusals: _Refusals) -> ImportReport:
    latest = read[-1].file if read else None
    return ImportReport(
        connector=latest.connector if latest else None,
        tenant=latest.tenant if latest else None,
        versions=versions,
        mappings=sum(len(one.mappings) for one in latest.sets) if latest else 0,
        revision=revision,
        refused=tuple(refusals.found),
    )
