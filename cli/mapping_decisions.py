"""`aam mappings propose|approve|reject|rollback`: decisions about mappings, with a look before those about many."""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer

from cli.actor import current_actor
from cli.console import say, write_json, write_line, write_table
from cli.mapping_options import (
    Confidence,
    Connector,
    DryRun,
    Entity,
    Fallbacks,
    Inputs,
    Json,
    OnlyConnector,
    OnlyEntity,
    OnlyTarget,
    OnlyTenant,
    Op,
    Params,
    Reason,
    Source,
    Target,
    Tenant,
    Yes,
    build_mapping,
    confirmed,
    parse_moment,
    parse_target,
)
from cli.mapping_tables import show_versions, version_json
from cli.services import open_registry, registry_settings
from mapping.mapping_set import ANY_TENANT
from registry.approvals import Approvals, UndecidedFilter
from registry.pool import Pool
from registry.rollback import Restored, Rollbacks, RollbackScope


class FoundBy(StrEnum):
    """How a mapping was found."""

    RAG = "rag"
    LLM = "llm"
    MANUAL = "manual"
    SEED = "seed"


class Waiting(StrEnum):
    """What waits for approval."""

    PROPOSED = "proposed"
    PROVISIONAL = "provisional"


Ids = Annotated[list[int] | None, typer.Argument(metavar="ID...", help="Ids, as lists show them; or choose below.")]
ByMethod = Annotated[FoundBy | None, typer.Option("--method", help="Only found so.")]
MinConfidence = Annotated[float | None, typer.Option("--min-confidence", min=0, max=1, help="Only as sure as this.")]
WithStatus = Annotated[Waiting | None, typer.Option("--status", help="Only these.")]


def propose(
    connector: Connector,
    entity: Entity,
    target: Target,
    source: Source = None,
    tenant: Tenant = ANY_TENANT,
    op: Op = "copy",
    params: Params = None,
    inputs: Inputs = None,
    fallbacks: Fallbacks = None,
    confidence: Confidence = 1.0,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Propose a mapping; nothing uses it before it is approved or tried."""
    mapping = build_mapping(
        target, source, op=op, params=params, inputs=inputs, fallbacks=fallbacks, confidence=confidence
    )
    with open_registry() as pool:
        proposed = Approvals(pool).propose(
            tenant=tenant, connector=connector, entity=entity, mapping=mapping, actor=current_actor(), reason=reason
        )
    if as_json:
        write_json(version_json(proposed))
    else:
        write_line(f"mapping {proposed.id}: {target} ← {source or 'constant'}, version {proposed.version}, proposed")


def approve(
    ids: Ids = None,
    connector: OnlyConnector = None,
    entity: OnlyEntity = None,
    tenant: OnlyTenant = None,
    target: OnlyTarget = None,
    method: ByMethod = None,
    min_confidence: MinConfidence = None,
    status: WithStatus = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Put proposed mappings in force, and confirm provisional ones: by id, or all that the options choose."""
    wanted = _filter(connector, entity, tenant, target, method, min_confidence, status)
    with open_registry() as pool:
        approvals = Approvals(pool, bar_self_approval=registry_settings().bar_self_approval)
        _decide(approvals, ids, wanted, "approve", approvals.approve, reason, dry_run, yes, as_json)


def reject(
    ids: Ids = None,
    connector: OnlyConnector = None,
    entity: OnlyEntity = None,
    tenant: OnlyTenant = None,
    target: OnlyTarget = None,
    method: ByMethod = None,
    min_confidence: MinConfidence = None,
    status: WithStatus = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Close proposals, and take provisional mappings out of force."""
    wanted = _filter(connector, entity, tenant, target, method, min_confidence, status)
    with open_registry() as pool:
        approvals = Approvals(pool)
        _decide(approvals, ids, wanted, "reject", approvals.reject, reason, dry_run, yes, as_json)


def rollback(
    connector: OnlyConnector = None,
    entity: OnlyEntity = None,
    tenant: OnlyTenant = None,
    target: OnlyTarget = None,
    version: Annotated[int | None, typer.Option("--version", min=1, help="Of one field: back to this one.")] = None,
    revision: Annotated[int | None, typer.Option("--revision", min=0, help="Back to how it was at this one.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Undo all since: 10m, 2h, 1d ago, or a time as 2026-01-31T12:00Z.")
    ] = None,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Bring back what held: of one field, a set, or everything.

    With --to alone (and --connector, --entity): what held before the field's last change.
    """
    scope = RollbackScope(tenant, connector, entity, parse_target(target) if target is not None else None)
    if sum(given is not None for given in (version, revision, since)) > 1:
        raise typer.BadParameter("choose one of --version, --revision, --since")
    with open_registry() as pool:
        restore = _restoration(pool, scope, version, revision, since, reason)
        look = restore(True)
        several = sum(map(len, look.targets.values())) + len(look.stopped_experiments) > 1
        if several and not (as_json and yes):
            _show_restored(look, as_json=as_json and dry_run, done=False)
        if dry_run or (several and not confirmed("Roll back?", yes=yes)):
            if not several:
                _show_restored(look, as_json=as_json, done=False)
            return
        _show_restored(restore(False), as_json=as_json, done=True)


def _restoration(
    pool: Pool, scope: RollbackScope, version: int | None, revision: int | None, since: str | None, reason: str
) -> Callable[[bool], Restored]:
    rollbacks, actor = Rollbacks(pool), current_actor()
    if since is not None:
        moment = parse_moment(since)
        return lambda dry: rollbacks.to_moment(moment, scope, actor=actor, reason=reason, dry_run=dry)
    if revision is not None:
        return lambda dry: rollbacks.to_revision(revision, scope, actor=actor, reason=reason, dry_run=dry)
    target = scope.target
    if target is None or scope.connector is None or scope.entity is None:
        raise typer.BadParameter("say what: --connector, --entity and --to; or since when: --revision or --since")
    key = (scope.tenant or ANY_TENANT, scope.connector, scope.entity)
    return lambda dry: rollbacks.field(key, target, version=version, actor=actor, reason=reason, dry_run=dry)


def _show_restored(restored: Restored, *, as_json: bool, done: bool) -> None:
    changes = [(key, target) for key, targets in restored.targets.items() for target in targets]
    if as_json:
        sets = [{"set": list(key), "targets": [list(t) for t in targets]} for key, targets in restored.targets.items()]
        stopped = list(restored.stopped_experiments)
        write_json({"revision": restored.revision, "done": done, "sets": sets, "stopped_experiments": stopped})
        return
    if not (restored.targets or restored.stopped_experiments):
        say("Nothing to roll back: it holds already.")
        return
    if not done:
        rows = [(key[0], f"{key[1]}/{key[2]}", ".".join(target)) for key, target in changes]
        write_table(("tenant", "source", "brought back"), rows)
        for experiment in restored.stopped_experiments:
            say(f"experiment {experiment} would be stopped")
        return
    write_line(f"{len(changes)} fields of {len(restored.targets)} sets brought back, revision {restored.revision}")


def _decide(
    approvals: Approvals,
    ids: list[int] | None,
    wanted: UndecidedFilter | None,
    what: str,
    decision: Callable[..., int],
    reason: str,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    if bool(ids) == (wanted is not None):
        raise typer.BadParameter(f"say what to {what}: ids, or options that choose (e.g. --connector)")
    chosen = list(ids or ())
    if wanted is not None:
        found = approvals.find(wanted)
        if not as_json or dry_run:
            show_versions(found, as_json=as_json, none=f"There is nothing to {what}.")
            say(f"{len(found)} mappings")
        if dry_run or not found or not confirmed(f"{what.capitalize()} {len(found)} mappings?", yes=yes):
            return
        chosen = [version.id for version in found]
    elif dry_run:
        raise typer.BadParameter("--dry-run is for options that choose; `aam mappings list --undecided` shows ids")
    revision = decision(chosen, actor=current_actor(), reason=reason)
    if as_json:
        write_json({"decision": what, "ids": chosen, "revision": revision})
    else:
        write_line(f"{what}: {len(chosen)} mappings, revision {revision}")


def _filter(
    connector: str | None,
    entity: str | None,
    tenant: str | None,
    target: str | None,
    method: FoundBy | None,
    min_confidence: float | None,
    status: Waiting | None,
) -> UndecidedFilter | None:
    """None if nothing chooses."""
    given = (connector, entity, tenant, target, method, min_confidence, status)
    if all(value is None for value in given):
        return None
    return UndecidedFilter(
        tenant=tenant,
        connector=connector,
        entity=entity,
        target=parse_target(target) if target is not None else None,
        method=None if method is None else method.value,
        min_confidence=min_confidence,
        statuses=("proposed", "provisional") if status is None else (status.value,),
    )
