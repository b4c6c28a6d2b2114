"""`aam experiments`: two versions of a mapping live at once, compared, then one promoted or stopped."""

from typing import Annotated, Any

import typer

from cli.actor import current_actor
from cli.console import say, write_json, write_line, write_table
from cli.experiment_events import Findings, read_findings
from cli.mapping_options import Json, OnlyConnector, OnlyEntity, OnlyTenant, Reason
from cli.mapping_tables import paths_of, transform_of
from cli.services import kafka_settings, open_registry, registry_settings
from mapping.experiment import ARMS
from mapping.mapping_set import MappingSet
from registry.errors import InvalidDecision
from registry.experiments import Experiments, StoredExperiment
from registry.history import History

app = typer.Typer(no_args_is_help=True, help="Try proposed mappings on a share of the records.")

Experiment = Annotated[int, typer.Argument(metavar="EXPERIMENT", help="Its number.")]


@app.command()
def start(
    proposals: Annotated[list[int], typer.Argument(metavar="ID...", help="Proposed mappings, all of one set.")],
    percent: Annotated[float, typer.Option("--percent", help="Share of the records that they map.")],
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Have proposed mappings map a share of their set's records, by the record's id."""
    with open_registry() as pool:
        started = Experiments(pool).start(proposals, percent=percent, actor=current_actor(), reason=reason)
    if as_json:
        write_json(_as_json(started))
    else:
        write_line(f"experiment {started.id}: {percent:g} % to arm B, revision {started.started_revision}")


@app.command("list")
def list_experiments(
    connector: OnlyConnector = None,
    entity: OnlyEntity = None,
    tenant: OnlyTenant = None,
    ended: Annotated[bool, typer.Option("--ended", help="Also those that ended.")] = False,
    as_json: Json = False,
) -> None:
    """Show the experiments that run."""
    with open_registry() as pool:
        found = Experiments(pool).find(tenant=tenant, connector=connector, entity=entity, ended=ended)
    if as_json:
        for experiment in found:
            write_json(_as_json(experiment))
    elif found:
        columns = ("id", "tenant", "source", "percent", "fields", "since revision", "started by", "outcome")
        write_table(columns, [_row(experiment) for experiment in found])
    else:
        say("No experiment runs.")


@app.command()
def status(
    experiment: Experiment,
    minutes: Annotated[float, typer.Option("--minutes", min=0.1, help="Read events as new as this.")] = 15.0,
    sample: Annotated[int, typer.Option("--sample", min=1, help="Raw records to map by both arms.")] = 500,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Compare the arms by the events that they made, and by a sample of raw records mapped by both."""
    with open_registry() as pool:
        stored = Experiments(pool).get(experiment)
        history = History(pool)
        at = history.revision() if stored.ended_revision is None else stored.ended_revision - 1
        mapping_set = history.composed_set(at, *stored.key)
    if mapping_set is None or mapping_set.experiment is None or mapping_set.experiment.id != experiment:
        raise InvalidDecision(f"the set of experiment {experiment} has lost what it tries")
    findings = read_findings(kafka_settings(), stored, mapping_set, minutes=minutes, sample=sample)
    if as_json:
        write_json({**_as_json(stored), "minutes": minutes, **_findings_json(findings)})
    else:
        _show(stored, mapping_set, findings, minutes)


@app.command()
def promote(experiment: Experiment, reason: Reason = "", as_json: Json = False) -> None:
    """Put arm B in force for all records."""
    with open_registry() as pool:
        experiments = Experiments(pool, bar_self_approval=registry_settings().bar_self_approval)
        revision = experiments.promote(experiment, actor=current_actor(), reason=reason)
    _say_ended(experiment, "promoted", revision, as_json=as_json)


@app.command()
def stop(experiment: Experiment, reason: Reason = "", as_json: Json = False) -> None:
    """Reject arm B; all records are mapped by arm A again."""
    with open_registry() as pool:
        revision = Experiments(pool).stop(experiment, actor=current_actor(), reason=reason)
    _say_ended(experiment, "stopped", revision, as_json=as_json)


def _say_ended(experiment: int, outcome: str, revision: int, *, as_json: bool) -> None:
    if as_json:
        write_json({"experiment": experiment, "outcome": outcome, "revision": revision})
    else:
        write_line(f"experiment {experiment} {outcome}, revision {revision}")


def _show(stored: StoredExperiment, mapping_set: MappingSet, findings: Findings, minutes: float) -> None:
    state = stored.outcome or "running"
    write_line(f"experiment {stored.id} on {'/'.join(stored.key)}: {stored.percent:g} % to arm B, {state}")
    held = {mapping.target: mapping for mapping in mapping_set.mappings}
    for version in stored.versions:
        before = held.get(version.mapping.target)
        sides = [("A", before), ("B", version.mapping)]
        shown = [f"{arm}: {paths_of(m)} {transform_of(m)}" if m else f"{arm}: nothing" for arm, m in sides]
        write_line(f"{'.'.join(version.mapping.target)} ← {'; '.join(shown)}")
    rows: list[tuple[object, ...]] = []
    for arm in ARMS:
        measures = findings.comparison.arms[arm]
        rows.append((arm, "", measures.records, measures.failures, "", ""))
        rows += [
            (arm, name, found.events, "", f"{found.null_rate:.1%}", found.distinct)
            for name, found in sorted(measures.fields.items())
        ]
    write_table(("arm", "field", "events", "conversion failures", "null", "distinct"), rows)
    rate = findings.disagreement.rate
    sampled = f"of {findings.disagreement.records} raw records"
    write_line(f"disagreement: {'unknown' if rate is None else f'{rate:.1%}'} {sampled}; events of {minutes:g} minutes")


def _findings_json(findings: Findings) -> dict[str, Any]:
    return {
        "arms": {
            arm: {
                "records": measures.records,
                "conversion_failures": measures.failures,
                "fields": {
                    name: {"events": found.events, "null_rate": found.null_rate, "distinct": found.distinct}
                    for name, found in measures.fields.items()
                },
            }
            for arm, measures in findings.comparison.arms.items()
        },
        "disagreement": {
            "rate": findings.disagreement.rate,
            "sampled_records": findings.disagreement.records,
            "by_field": dict(findings.disagreement.by_field),
        },
    }


def _row(experiment: StoredExperiment) -> tuple[object, ...]:
    tenant, connector, entity = experiment.key
    return (
        experiment.id,
        tenant,
        f"{connector}/{entity}",
        f"{experiment.percent:g}",
        ", ".join(".".join(version.mapping.target) for version in experiment.versions),
        experiment.started_revision,
        experiment.started_by,
        experiment.outcome or "running",
    )


def _as_json(experiment: StoredExperiment) -> dict[str, Any]:
    tenant, connector, entity = experiment.key
    return {
        "id": experiment.id,
        "tenant": tenant,
        "connector": connector,
        "entity": entity,
        "percent": experiment.percent,
        "started_by": experiment.started_by,
        "started_at": experiment.started_at.isoformat(),
        "started_revision": experiment.started_revision,
        "ended_at": experiment.ended_at.isoformat() if experiment.ended_at else None,
        "ended_revision": experiment.ended_revision,
        "outcome": experiment.outcome,
        "mappings": [{"id": v.id, **v.mapping.model_dump(mode="json")} for v in experiment.versions],
    }
