"""`aam review`: source fields that wait for a person's word, the most urgent first."""

from typing import Annotated, Any

import typer

from cli.actor import current_actor
from cli.console import say, write_json, write_line, write_table
from cli.mapping_options import (
    DryRun,
    Inputs,
    Json,
    OnlyConnector,
    OnlyEntity,
    OnlyTenant,
    Op,
    Params,
    Reason,
    Yes,
    build_transform,
    confirmed,
    parse_target,
)
from cli.services import open_registry, registry_settings
from registry.pool import Pool
from registry.review import LISTED, ReviewFilter, ReviewGroup, ReviewQueue, Scope

app = typer.Typer(no_args_is_help=True, help="Decide about source fields in doubt.")

Item = Annotated[int, typer.Argument(metavar="ID", help="Its number, as lists show it.")]
ForAll = Annotated[bool, typer.Option("--for-connector", help="For all tenants of the connector.")]
OnlyThis = Annotated[bool, typer.Option("--only-this", help="Not the others that ask the same.")]
MinProbability = Annotated[
    float | None, typer.Option("--min-probability", min=0, max=1, help="Only with a best candidate as sure as this.")
]


@app.command("list")
def list_items(
    connector: OnlyConnector = None,
    entity: OnlyEntity = None,
    tenant: OnlyTenant = None,
    min_probability: MinProbability = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="Most groups to show.")] = LISTED,
    as_json: Json = False,
) -> None:
    """Show what waits, by records that wait × doubt; what asks the same is one line."""
    with open_registry() as pool:
        wanted = ReviewFilter(tenant, connector, entity, min_probability)
        found = ReviewQueue(pool).list(wanted, limit=limit)
    _show_all(found, as_json=as_json)


@app.command("next")
def next_item(tenant: OnlyTenant = None, as_json: Json = False) -> None:
    """Show what to decide first, with all candidates."""
    with open_registry() as pool:
        found = ReviewQueue(pool).next(tenant)
    if found is None:
        say("Nothing waits.")
    elif as_json:
        write_json(_as_json(found))
    else:
        _show_one(found)


@app.command()
def accept(
    item: Annotated[int | None, typer.Argument(metavar="ID", help="Its number; or choose below.")] = None,
    connector: OnlyConnector = None,
    entity: OnlyEntity = None,
    tenant: OnlyTenant = None,
    min_probability: MinProbability = None,
    for_connector: ForAll = False,
    only_this: OnlyThis = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make the best candidate the mapping: of one item, or of all that the options choose."""
    wanted = ReviewFilter(tenant, connector, entity, min_probability)
    if (item is None) == (wanted == ReviewFilter()):
        raise typer.BadParameter("say what to accept: an id, or options that choose (e.g. --connector)")
    with open_registry() as pool:
        queue = _queue(pool)
        if item is not None:
            scope: Scope | None = "connector" if for_connector else None
            revision = queue.accept(item, actor=current_actor(), reason=reason, scope=scope, whole_group=not only_this)
            _say_decided("accepted", revision, as_json=as_json)
            return
        found = queue.list(wanted, limit=1_000_000)
        count = sum(len(group.tenants) for group in found)
        if not as_json or dry_run:
            _show_all(found, as_json=as_json)
            say(f"{count} items")
        if dry_run or not found or not confirmed(f"Accept the best candidate of {count} items?", yes=yes):
            return
        accepted, revision = queue.accept_all(wanted, actor=current_actor(), reason=reason)
    if as_json:
        write_json({"decision": "accepted", "items": accepted, "left": count - accepted, "revision": revision})
    else:
        write_line(f"{accepted} items accepted, {count - accepted} left to look at, revision {revision}")


@app.command()
def choose(
    item: Item,
    target: Annotated[str, typer.Option("--to", help="Canonical entity and field; of an entity in doubt, the entity.")],
    op: Op = "copy",
    params: Params = None,
    inputs: Inputs = None,
    for_connector: ForAll = False,
    only_this: OnlyThis = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Map the field to another target, or with another transform."""
    with open_registry() as pool:
        revision = _queue(pool).choose(
            item,
            parse_target(target) if "." in target else (target, ""),
            build_transform(op, params, inputs),
            "connector" if for_connector else None,
            actor=current_actor(),
            reason=reason,
            whole_group=not only_this,
        )
    _say_decided("chosen", revision, as_json=as_json)


@app.command()
def reject(item: Item, only_this: OnlyThis = False, reason: Reason = "", as_json: Json = False) -> None:
    """Say no to the best candidate; the field stays unmapped."""
    with open_registry() as pool:
        revision = _queue(pool).reject(item, actor=current_actor(), reason=reason, whole_group=not only_this)
    _say_decided("rejected", revision, as_json=as_json)


@app.command()
def ignore(
    item: Item, for_connector: ForAll = False, only_this: OnlyThis = False, reason: Reason = "", as_json: Json = False
) -> None:
    """Say that the field is nothing canonical; it goes to custom fields and is not asked about again."""
    with open_registry() as pool:
        revision = _queue(pool).ignore(
            item,
            actor=current_actor(),
            reason=reason,
            scope="connector" if for_connector else None,
            whole_group=not only_this,
        )
    _say_decided("ignored", revision, as_json=as_json)


def _queue(pool: Pool) -> ReviewQueue:
    return ReviewQueue(pool, bar_self_approval=registry_settings().bar_self_approval)


def _say_decided(decision: str, revision: int, *, as_json: bool) -> None:
    if as_json:
        write_json({"decision": decision, "revision": revision})
    else:
        write_line(f"{decision}, revision {revision}")


def _show_all(found: list[ReviewGroup], *, as_json: bool) -> None:
    if as_json:
        for group in found:
            write_json(_as_json(group))
        return
    if not found:
        say("Nothing waits.")
        return
    columns = ("id", "tenants", "source", "path", "best candidate", "probability", "records", "doubt", "why")
    write_table(columns, [_row(group) for group in found])


def _row(group: ReviewGroup) -> tuple[object, ...]:
    item = group.item
    best = item.candidates[0] if item.candidates else None
    return (
        group.id,
        group.tenants[0] if len(group.tenants) == 1 else len(group.tenants),
        f"{item.connector}/{item.entity}",
        item.path or "(the entity)",
        "" if best is None else ".".join(filter(None, (item.canonical_entity, best["field"]))),
        "" if best is None else f"{best['probability']:.2f}",
        item.volume,
        f"{item.doubt:.2f}",
        item.reason,
    )


def _show_one(group: ReviewGroup) -> None:
    item = group.item
    write_line(f"{group.id}: {item.connector}/{item.entity} {item.path or '(the entity)'}, {item.reason}")
    write_line(f"tenants: {', '.join(group.tenants)}; records: {item.volume}; doubt: {item.doubt:.2f}")
    for name, value in item.profile.items():
        write_line(f"{name}: {value}")
    rows = [
        (
            ".".join(filter(None, (item.canonical_entity, candidate["field"]))),
            f"{candidate['probability']:.2f}",
            (candidate.get("transform") or {}).get("op", "none fits"),
            ", ".join(f"{name} {value:.2f}" for name, value in (candidate.get("signals") or {}).items()),
        )
        for candidate in item.candidates
    ]
    write_table(("candidate", "probability", "transform", "signals"), rows)


def _as_json(group: ReviewGroup) -> dict[str, Any]:
    item = group.item
    return {
        "id": group.id,
        "tenants": list(group.tenants),
        "connector": item.connector,
        "entity": item.entity,
        "path": item.path,
        "canonical_entity": item.canonical_entity,
        "candidates": [dict(candidate) for candidate in item.candidates],
        "reason": item.reason,
        "profile": dict(item.profile),
        "volume": item.volume,
        "doubt": item.doubt,
    }
