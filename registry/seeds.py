"""Reads `connector_specs/`: what each connector is, and the mappings it starts with, as connector-wide mapping sets.

Their JSON Schemas, for editors, lie beside them and are made from the models here (`write_schemas`). Storing a seed is
up to `registry.mapping_store`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

import connector_specs
from mapping.mapping_set import Mapping, MappingSet, Transform
from registry import errors
from schemas.connector_spec import ConnectorSpec
from schemas.spec_problems import InvalidSpec, parse_spec

FOLDER: Final = Path(connector_specs.__path__[0])

T = TypeVar("T", bound=BaseModel)

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class _SpecPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class SeedMapping(_SpecPart):
    """One canonical field ← transform(source). A source path alone stands for a copy."""

    from_: str | None = Field(default=None, alias="from", description="Source path; none for a constant.")
    fallbacks: tuple[str, ...] = Field(default=(), description="Read in order where the source is missing or null.")
    op: str = Field(default="copy", description="Of the vocabulary in mapping/transforms.py.")
    inputs: tuple[str, ...] = Field(default=(), description="Further source paths that the op needs.")
    params: dict[str, Any] = Field(default={}, description="Constants of the op.")
    note: str | None = Field(default=None, description="What a reader should know; not stored.")

    def mapping(self, entity: str, field: str) -> Mapping:
        """The mapping that writes `field` of canonical `entity`."""
        return Mapping(
            canonical_entity=entity,
            canonical_field=field,
            source_field=self.from_,
            fallbacks=self.fallbacks,
            transform=Transform(op=self.op, inputs=self.inputs, params=self.params),
        )


class SeedEntity(_SpecPart):
    """The mappings of one source entity: canonical entity → canonical field → where from."""

    ignored: tuple[str, ...] = Field(
        default=(), description="Source paths, with all below them, that have no canonical counterpart."
    )
    targets: dict[Name, dict[str, str | SeedMapping]]

    def mappings(self) -> tuple[Mapping, ...]:
        """All mappings, in the order of the file."""
        return tuple(
            (SeedMapping(from_=seed) if isinstance(seed, str) else seed).mapping(entity, field)
            for entity, fields in self.targets.items()
            for field, seed in fields.items()
        )


class SeedMappings(_SpecPart):
    """The file `<connector>.mappings.json`."""

    schema_: str | None = Field(default=None, alias="$schema")
    connector: Name
    entities: dict[Name, SeedEntity]


SCHEMA_FILES: Final[dict[str, type[BaseModel]]] = {
    "spec.schema.json": ConnectorSpec,
    "mappings.schema.json": SeedMappings,
}


def connector_names(folder: Path = FOLDER) -> list[str]:
    """The connectors that have seed mappings, in order of name."""
    return sorted(path.name.removesuffix(".mappings.json") for path in folder.glob("*.mappings.json"))


def load_spec(connector: str, folder: Path = FOLDER) -> ConnectorSpec:
    """The spec of `connector`. RegistryMisconfigured if there is none, or it doesn't fit its schema."""
    file = f"{connector}.json"
    try:
        return parse_spec(_read(folder, connector, file))
    except InvalidSpec as error:
        raise errors.RegistryMisconfigured(f"connector_specs/{file}: {error}") from error


def load_seed(connector: str, folder: Path = FOLDER) -> list[MappingSet]:
    """The sets that `connector` starts with, one per source entity; their epoch and revision mean nothing.

    Raises:
        RegistryMisconfigured: there is no such connector, a file doesn't fit its schema, or the two don't fit together.
    """
    spec = load_spec(connector, folder)
    seed = _load(SeedMappings, folder, connector, f"{connector}.mappings.json")
    strangers = sorted(seed.entities.keys() - spec.entities.keys())
    if {seed.connector, spec.name} != {connector} or strangers:
        raise errors.RegistryMisconfigured(
            f"{connector}.mappings.json and {connector}.json don't agree: {strangers or 'the name of the connector'}"
        )
    return [
        MappingSet(
            connector=connector,
            entity=name,
            epoch=0,
            revision=0,
            primary_key=spec.entities[name].primary_key,
            ignored=entity.ignored,
            mappings=entity.mappings(),
        )
        for name, entity in seed.entities.items()
    ]


def load_seeds(connectors: Sequence[str] = (), folder: Path = FOLDER) -> list[MappingSet]:
    """The seeds of `connectors`, or of all there are."""
    names = connectors or connector_names(folder)
    return [seeded for name in dict.fromkeys(names) for seeded in load_seed(name, folder)]


def schema_text(model: type[BaseModel]) -> str:
    """The JSON Schema of a file, as it lies in `connector_specs/`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema(by_alias=True)}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write_schemas(folder: Path = FOLDER) -> None:
    """Writes the JSON Schemas anew, after a change of the models."""
    for name, model in SCHEMA_FILES.items():
        (folder / name).write_text(schema_text(model), encoding="utf-8")


def _load(model: type[T], folder: Path, connector: str, file: str) -> T:
    try:
        return model.model_validate_json(_read(folder, connector, file))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise errors.RegistryMisconfigured(f"connector_specs/{file}: {place}: {first['msg']}") from error


def _read(folder: Path, connector: str, file: str) -> bytes:
    if connector not in connector_names(folder):
        raise errors.RegistryMisconfigured(
            f"there is no connector {connector!r}; there are {', '.join(connector_names(folder))}"
        )
    try:
        return (folder / file).read_bytes()
    except OSError as error:
        raise errors.RegistryMisconfigured(f"connector_specs/{file} is missing") from error
