"""The known mappings that retrieval looks into: seeds, what persons decided, and what is known to be nothing.

Kept in memory, by canonical entity. Where they come from is up to the caller; how they count is in `mapping.matcher`.
"""

from collections.abc import Iterable, Iterator

from mapping.candidates import KnownMapping

_Key = tuple[str, str, str, str | None]


class Corpus:
    """Known mappings, each once. Not safe for changes from several threads at once."""

    def __init__(self, known: Iterable[KnownMapping] = ()) -> None:
        # canonical entity -> (connector, source entity, path, canonical field) -> mapping
        self._by_entity: dict[str, dict[_Key, KnownMapping]] = {}
        self._versions: dict[str, int] = {}
        self.total_version = 0  # grows with every change
        self.add(known)

    def __len__(self) -> int:
        return sum(map(len, self._by_entity.values()))

    def __iter__(self) -> Iterator[KnownMapping]:
        for known in self._by_entity.values():
            yield from known.values()

    def add(self, known: Iterable[KnownMapping]) -> None:
        """Takes `known` in; a mapping of the same path to the same field replaces the one there was."""
        for mapping in known:
            key = (mapping.connector, mapping.source_entity, mapping.path, mapping.canonical_field)
            self._by_entity.setdefault(mapping.canonical_entity, {})[key] = mapping
            self._touch(mapping.canonical_entity)

    def replace(self, connector: str, source_entity: str, known: Iterable[KnownMapping]) -> None:
        """Forgets all about one entity of a connector, then takes `known` in: what the registry now says of it."""
        for entity, mappings in self._by_entity.items():
            stale = [key for key in mappings if key[:2] == (connector, source_entity)]
            for key in stale:
                del mappings[key]
            if stale:
                self._touch(entity)
        self.add(known)

    def without(self, connector: str) -> "Corpus":
        """A copy that knows nothing of `connector`."""
        return Corpus(mapping for mapping in self if mapping.connector != connector)

    def entities(self) -> list[str]:
        """The canonical entities that something is known of."""
        return list(self._by_entity)

    def of_entity(self, canonical_entity: str) -> list[KnownMapping]:
        """What is known of fields of `canonical_entity`, known negatives among them, in order of arrival."""
        return list(self._by_entity.get(canonical_entity, {}).values())

    def version(self, canonical_entity: str) -> int:
        """Grows with every change of what `of_entity` gives."""
        return self._versions.get(canonical_entity, 0)

    def _touch(self, canonical_entity: str) -> None:
        self._versions[canonical_entity] = self._versions.get(canonical_entity, 0) + 1
        self.total_version += 1
