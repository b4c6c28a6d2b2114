"""Writes mapping sets as the YAML that `registry.yaml_mappings` reads: the same sets always give the same text."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import yaml

from mapping.mapping_set import ANY_TENANT, MappingSet
from mapping.mapping_set import Mapping as FieldMapping
from registry.yaml_document import CONSTANTS, INTEGER, NUMBER
from schemas.canonical_model import load_entities

_WIDTH: Final = 120
# What other readers, of YAML 1.1, take for a boolean, a date, a base-60 number or a merge.
_FOREIGN: Final = re.compile(
    r"yes|no|on|off|y|n|true|false|null|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?|[-+]?0[xob]?[0-9a-fA-F_]+"
    r"|[-+]?[0-9][0-9_]*\.?[0-9_]*|[-+]?\.(?:inf|nan)|[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt ].*)?|<<|=",
    re.IGNORECASE,
)


class _Flow(dict[str, Any]):
    """A mapping that stands on one line."""


class _Dumper(yaml.CSafeDumper):
    """Quotes every text that a reader, ours or another one, would take for something else."""

    yaml_implicit_resolvers: dict[Any, Any] = {}  # noqa: RUF012  # as in PyYAML: not those of its base


def write_mappings(connector: str, tenant: str, sets: Sequence[MappingSet]) -> str:
    """The file of `connector`'s `sets` in the scope of `tenant` (or *); each entity once."""
    head = {"connector": connector} | ({} if tenant == ANY_TENANT else {"tenant": tenant})
    entities = {one.entity: _entity(one) for one in sorted(sets, key=lambda s: s.entity)}
    text: str = yaml.dump(
        {**head, "entities": entities},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=_WIDTH,
    )
    return text


def _entity(mapping_set: MappingSet) -> dict[str, Any]:
    mappings = sorted(mapping_set.mappings, key=lambda m: _position(m.canonical_entity, m.canonical_field))
    counted = Counter(sorted(m.canonical_entity for m in mappings))
    default = counted.most_common(1)[0][0] if counted else None
    mappings.sort(key=lambda m: m.canonical_entity != default)
    fields: dict[str, list[Any]] = {}
    constants: dict[str, Any] = {}
    for mapping in mappings:
        if mapping.source_field is None:
            constants[_canonical(mapping, default)] = _constant(mapping)
        else:
            fields.setdefault(mapping.source_field, []).append(_target(mapping, default))
    parts: dict[str, Any] = {
        "canonical_entity": default,
        "primary_key": list(mapping_set.primary_key),
        "ignored": list(mapping_set.ignored),
        "fields": {source: targets[0] if len(targets) == 1 else targets for source, targets in fields.items()},
        "constants": constants,
    }
    return {name: part for name, part in parts.items() if part} or {"fields": {}}


def _target(mapping: FieldMapping, default: str | None) -> str | _Flow:
    transform = mapping.transform
    details = {
        "transform": transform.op if transform.op != "copy" else None,
        "inputs": list(transform.inputs),
        "params": _flowing(transform.params),
        "fallbacks": list(mapping.fallbacks),
        **_standing(mapping),
    }
    said = {name: value for name, value in details.items() if value not in (None, [], {})}
    canonical = _canonical(mapping, default)
    return _Flow(canonical=canonical, **said) if said else canonical


def _constant(mapping: FieldMapping) -> Any:
    value = mapping.transform.params["value"]
    standing = _standing(mapping)
    return _Flow(value=value, **standing) if standing else value


def _standing(mapping: FieldMapping) -> dict[str, Any]:
    confidence = {} if mapping.confidence == 1 else {"confidence": mapping.confidence}
    return confidence | ({} if mapping.status == "active" else {"status": mapping.status})


def _canonical(mapping: FieldMapping, default: str | None) -> str:
    if mapping.canonical_entity == default:
        return mapping.canonical_field
    return f"{mapping.canonical_entity}.{mapping.canonical_field}"


def _flowing(value: Any) -> Any:
    if isinstance(value, dict):  # in an order of its own: Postgres keeps none
        return _Flow({key: _flowing(value[key]) for key in sorted(value)})
    return [_flowing(inner) for inner in value] if isinstance(value, list) else value


@cache
def _positions() -> Mapping[tuple[str, str], int]:
    targets = ((name, path) for name, entity in load_entities().items() for path, _ in entity.targets())
    return {target: position for position, target in enumerate(targets)}


def _position(entity: str, field: str) -> tuple[int, str, str]:
    """The place in the canonical model; what a newer version of it no longer has comes last."""
    return _positions().get((entity, field), len(_positions())), entity, field


def _represent_flow(dumper: _Dumper, value: _Flow) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value.items(), flow_style=True)


def _represent_list(dumper: _Dumper, value: list[Any]) -> yaml.Node:
    flat = not any(isinstance(inner, dict) and not isinstance(inner, _Flow) for inner in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=flat)


def _represent_text(dumper: _Dumper, value: str) -> yaml.Node:
    # Other quotes would fold what is a line's end to YAML.
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if value.isprintable() else '"')


def _whole(pattern: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile(f"(?:{pattern.pattern})\\Z", pattern.flags)


_Dumper.add_representer(_Flow, _represent_flow)
_Dumper.add_representer(list, _represent_list)
_Dumper.add_representer(str, _represent_text)
_WORDS: Final = re.compile("|".join(re.escape(word) for word in CONSTANTS))
# (tag, what is plain under it): the first that matches is what the word is read as
_Dumper.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"(?:null)\Z"), None)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"(?:true|false)\Z"), None)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", _whole(INTEGER), None)
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", _whole(NUMBER), None)
_Dumper.add_implicit_resolver("tag:aam/quoted", _whole(_WORDS), None)
_Dumper.add_implicit_resolver("tag:aam/quoted", _whole(_FOREIGN), None)
