"""What other vendors call things: which of their fields is which canonical field, and which are none.

Evidence for matching, from `connector_specs/reference/`; unlike a seed, never applied to a record. What tenants decide
about a source of the same name goes before it.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import connector_specs
from registry.errors import RegistryMisconfigured
from registry.known_mappings import KnownField

FOLDER: Final = Path(connector_specs.__path__[0]) / "reference"

_Paths = str | tuple[str, ...]


class ReferenceEntity(BaseModel):
    """One source entity. A field about which one can argue stands in neither."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    is_: Annotated[
        Mapping[str, Mapping[str, _Paths]],
        Field(alias="is", description="Canonical entity → canonical field → the source paths that mean it."),
    ]
    nothing: tuple[str, ...] = Field(description="Source paths that none of the entity's canonical fields means.")


class ReferenceVendor(BaseModel):
    """The file `<vendor>.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vendor: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    docs_url: Annotated[str, Field(pattern=r"^https://")]
    entities: Mapping[str, ReferenceEntity]

    def known(self) -> Iterator[KnownField]:
        """Each field once for every canonical field that it is, and every canonical entity that it is nothing of."""
        for name, entity in self.entities.items():
            for canonical, fields in entity.is_.items():
                for field, paths in fields.items():
                    for path in (paths,) if isinstance(paths, str) else paths:
                        yield KnownField(self.vendor, name, path, None, canonical, field, seeded=True)
                for path in entity.nothing:
                    yield KnownField(self.vendor, name, path, None, canonical, None, seeded=True)


def read_reference(path: Path) -> ReferenceVendor:
    """One vendor's file. RegistryMisconfigured if it doesn't fit the form, or is called otherwise than its vendor."""
    try:
        found = ReferenceVendor.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except (ValidationError, ValueError) as error:
        raise RegistryMisconfigured(f"{path.name} is no reference mapping: {error}") from error
    if found.vendor != path.stem:
        raise RegistryMisconfigured(f"{path.name} is of {found.vendor}")
    return found


@cache
def reference_mappings(folder: Path = FOLDER) -> tuple[KnownField, ...]:
    """All that is known of all vendors there, in order of their names."""
    return tuple(known for path in sorted(folder.glob("*.json")) for known in read_reference(path).known())


def with_reference(known: Iterable[KnownField], reference: Iterable[KnownField]) -> list[KnownField]:
    """`known`, and of the reference what nothing of the same source and path is known of."""
    found = list(known)
    decided = {one[:3] for one in found}
    return found + [one for one in reference if one[:3] not in decided]
