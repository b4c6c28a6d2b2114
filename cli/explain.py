"""`aam explain`: why a source field became what it is: candidates with their signals, the decision, the history.

What was decided stands in the registry with its evidence; a field that was never scored is scored now, and nothing is
stored.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

import typer

from cli.console import say, write_json, write_line, write_table
from cli.services import load_settings, open_registry
from mapping.mapping_set import ANY_TENANT
from registry.audit import AuditFilter, AuditTrail, Recorded
from registry.edits import Key
from registry.mapping_store import MappingStore, StoredMapping
from registry.novel_fields import ExplainedField, NovelFieldStore
from registry.pool import Pool
from schemas.failures import InvalidRecord

app = typer.Typer(help="Why a source field became what it is.")

SIGNALS_SHOWN = 6


@app.command()
def explain(
    connector: Annotated[str, typer.Argument(help="Source system, e.g. stripe.")],
    entity: Annotated[str, typer.Argument(help="Its kind of record, e.g. customer.")],
    field: Annotated[str, typer.Argument(help="Source path, e.g. properties.firstname.")],
    tenant: Annotated[str | None, typer.Option("--tenant", help="Only this tenant's; default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Show a field's candidates, each signal, the probabilities, what was decided, by whom, and what was before."""
    with open_registry() as pool:
        found = _explanation(pool, connector, entity, field, tenant)
    if as_json:
        write_json(found)
    else:
        _show(found)


def _explanation(pool: Pool, connector: str, entity: str, path: str, tenant: str | None) -> dict[str, Any]:
    versions = [
        stored
        for stored in MappingStore(pool).list_mappings(tenant=tenant, connector=connector, entity=entity, history=True)
        if path in (stored.mapping.source_field, *stored.mapping.fallbacks, *stored.mapping.transform.inputs)
    ]
    kept = NovelFieldStore(pool).explain(connector, entity, path, tenant=tenant)
    decisions = [_decision(one) for one in kept if one.evidence is not None]
    trail = AuditTrail(pool).read(AuditFilter(tenant=tenant, connector=connector, entity=entity))
    history = [_history(recorded) for recorded in trail if _concerns(recorded, path)]
    if not decisions:
        decisions = [_scored_now(pool, (tenant or ANY_TENANT, connector, entity), path, kept)]
    return {
        "connector": connector,
        "entity": entity,
        "field": path,
        "mappings": [_mapping(stored) for stored in versions if stored.is_active],
        "decisions": decisions,
        "history": history,
    }


def _decision(field: ExplainedField) -> dict[str, Any]:
    evidence = field.evidence or {}
    return {
        "tenant": field.tenant,
        "canonical_entity": field.canonical_entity,
        "verdict": field.verdict,
        "reason": field.reason,
        "method": field.method,
        "model": field.model,
        "decided_at": field.decided_at.isoformat() if field.decided_at else None,
        "records": field.volume,
        "candidates": evidence.get("candidates", []),
        "nothing": evidence.get("nothing"),
        "profile": evidence.get("profile", field.profile),
    }


def _scored_now(pool: Pool, key: Key, path: str, kept: Sequence[ExplainedField]) -> dict[str, Any]:
    """The evidence as it is now; of a field that nobody has announced, by its name and its schema alone."""
    from agents.score_source import load_scorer  # noqa: PLC0415  # half a second, with its model
    from inference.settings import InferenceSettings  # noqa: PLC0415
    from mapping.decide import Bands  # noqa: PLC0415
    from mapping.gather_evidence import SeenField, main_entity  # noqa: PLC0415
    from mapping.mapping_set import compose  # noqa: PLC0415

    store = MappingStore(pool)
    base, own = store.load_set(ANY_TENANT, *key[1:]), store.load_set(*key)
    mapping_set = compose(base, own if key[0] != ANY_TENANT else None)
    canonical = main_entity(mapping_set) if mapping_set else next((k.canonical_entity for k in kept), None)
    if canonical is None:
        raise InvalidRecord(f"nothing is known of {'/'.join(key[1:])}: no mapping, and no record or schema showed it")
    shown = NovelFieldStore(pool).fields_of((kept[0].tenant, *key[1:])) if kept else []
    seen = {field.path: SeenField(field.path, field.types, field.shapes, field.profile) for field in shown}
    seen.setdefault(path, SeenField(path))
    scorer = load_scorer(load_settings(InferenceSettings), Bands())
    (evidence,) = scorer.evidence(key, canonical, list(seen.values()), [path], mapping_set, pool)
    return {
        "tenant": key[0],
        "canonical_entity": canonical,
        "verdict": None,
        "reason": "never scored; this is what scoring it now gives",
        "method": "rag",
        "model": scorer.version,
        "decided_at": None,
        "records": 0,
        "candidates": [candidate.model_dump(mode="json") for candidate in evidence.candidates],
        "nothing": evidence.nothing,
        "profile": {},
    }


def _mapping(stored: StoredMapping) -> dict[str, Any]:
    return {
        "tenant": stored.key[0],
        "target": ".".join(stored.mapping.target),
        "transform": stored.mapping.transform.model_dump(mode="json"),
        "source_field": stored.mapping.source_field,
        "confidence": stored.mapping.confidence,
        "status": stored.status,
        "method": stored.method,
        "created_by": stored.created_by,
        "approved_by": stored.approved_by,
        "version": stored.version,
    }


def _concerns(recorded: Recorded, path: str) -> bool:
    """Whether an entry of the trail is about `path`: as a mapping's source, or as newly ignored or no longer so."""
    states = [state for state in (recorded.before, recorded.after) if state]
    if any(state.get("source_field") == path for state in states):
        return True
    ignoring = [path in (state.get("ignored") or ()) for state in (recorded.before or {}, recorded.after or {})]
    return ignoring[0] != ignoring[1]


def _history(recorded: Recorded) -> dict[str, Any]:
    target = None
    if recorded.canonical_entity:
        target = f"{recorded.canonical_entity}.{recorded.canonical_field}"
    after = recorded.after or {}
    return {
        "at": recorded.at.isoformat() if isinstance(recorded.at, datetime) else str(recorded.at),
        "revision": recorded.revision,
        "action": recorded.action,
        "actor": recorded.actor,
        "tenant": recorded.tenant,
        "target": target,
        "status": after.get("status") or ("nothing" if "ignored" in after else "removed"),
        "reason": recorded.reason,
    }


def _show(found: Mapping[str, Any]) -> None:
    write_line(f"{found['connector']}/{found['entity']}: {found['field']}")
    for mapping in found["mappings"]:
        write_line(
            f"  {mapping['target']} ← {mapping['transform']['op']}, {mapping['status']} by {mapping['method']}"
            f" with {mapping['confidence']:.0%} ({mapping['tenant']})"
        )
    if not found["mappings"]:
        write_line("  has no mapping: its values are custom fields")
    for decision in found["decisions"]:
        verdict = decision["verdict"] or "not decided"
        write_line(f"{decision['tenant']}: {verdict}: {decision['reason']} ({decision['method']}, {decision['model']})")
        write_table(("candidate", "probability", "transform", "signals"), list(_rows(decision)))
    if found["history"]:
        columns = ("at", "revision", "action", "actor", "target", "status", "reason")
        write_table(columns, [[entry[name] or "" for name in columns] for entry in found["history"]])
    else:
        say("No decision has changed it yet.")


def _rows(decision: Mapping[str, Any]) -> Iterator[Sequence[object]]:
    for candidate in decision["candidates"]:
        transform = candidate.get("transform")
        strongest = sorted(candidate.get("signals", {}).items(), key=lambda signal: -abs(signal[1]))[:SIGNALS_SHOWN]
        yield (
            f"{decision['canonical_entity'] or ''}.{candidate['field']}",
            f"{candidate['probability']:.1%}",
            transform["op"] if transform else candidate.get("note") or "none is sure",
            ", ".join(f"{name} {value:.2f}" for name, value in strongest),
        )
    if decision["nothing"] is not None:
        yield ("no counterpart", f"{decision['nothing']:.1%}", "", "")
