"""What the commands about mappings take: which set, which target, which transform; and how texts become them."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from cli.console import is_terminal
from mapping.mapping_set import Mapping, Transform
from registry.errors import InvalidMapping

Connector = Annotated[str, typer.Option("--connector", help="Source system, e.g. stripe.")]
Entity = Annotated[str, typer.Option("--entity", help="Its kind of record, e.g. customer.")]
Tenant = Annotated[str, typer.Option("--tenant", help="One tenant's own mapping; * for all.")]
Target = Annotated[str, typer.Option("--to", help="Canonical entity and field, e.g. customer.display_name.")]
Json = Annotated[bool, typer.Option("--json", help="JSON, a line each.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the audit trail.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")]

OnlyConnector = Annotated[str | None, typer.Option("--connector", help="Only this source system.")]
OnlyEntity = Annotated[str | None, typer.Option("--entity", help="Only this kind of record.")]
OnlyTenant = Annotated[str | None, typer.Option("--tenant", help="Only this tenant's own; * for those of all.")]
OnlyTarget = Annotated[str | None, typer.Option("--to", help="Only this canonical entity and field.")]

Source = Annotated[str | None, typer.Option("--from", help="Source path; none for a constant.")]
Op = Annotated[str, typer.Option("--op", help="Transform, e.g. epoch_seconds.")]
Params = Annotated[
    list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Constant of the transform; JSON or text.")
]
Inputs = Annotated[list[str] | None, typer.Option("--input", help="Further source path of the transform.")]
Fallbacks = Annotated[
    list[str] | None, typer.Option("--fallback", help="Source path to read where --from has nothing.")
]
Confidence = Annotated[float, typer.Option("--confidence", min=0, max=1)]

_AGO = re.compile(r"(\d+)(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_target(text: str) -> tuple[str, str]:
    """`customer.display_name` as (entity, field)."""
    entity, dot, field = text.partition(".")
    if not (entity and dot and field):
        raise typer.BadParameter(f"{text!r} is not ENTITY.FIELD", param_hint="--to")
    return entity, field


def parse_moment(text: str) -> datetime:
    """`10m` ago (s, m, h, d), or ISO 8601; without a zone UTC."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no time: 10m, 2h, 2026-01-31T12:00Z", param_hint="--since") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def build_mapping(
    target: str,
    source: str | None,
    *,
    op: str,
    params: list[str] | None,
    inputs: list[str] | None,
    fallbacks: list[str] | None,
    confidence: float,
) -> Mapping:
    """The mapping that the options say. Raises InvalidMapping."""
    canonical_entity, canonical_field = parse_target(target)
    fields: dict[str, Any] = {
        "canonical_entity": canonical_entity,
        "canonical_field": canonical_field,
        "source_field": source,
        "fallbacks": fallbacks or (),
        "transform": build_transform(op, params, inputs),
        "confidence": confidence,
    }
    try:
        return Mapping.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidMapping(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def build_transform(op: str, params: list[str] | None, inputs: list[str] | None) -> Transform:
    """The transform that the options say."""
    return Transform(op=op, inputs=tuple(inputs or ()), params=_parse_params(params or []))


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether to go on: `--yes`, or a person says so. BadParameter where there is nobody to ask."""
    if yes:
        return True
    if not is_terminal():
        raise typer.BadParameter("nobody to ask here: say --yes, or --dry-run to look", param_hint="--yes")
    return typer.confirm(question)


def _parse_params(pairs: list[str]) -> dict[str, Any]:
    """`k=v` pairs; a value that is JSON is what it says (numbers, objects), any other is text."""
    params: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{pair!r} is not NAME=VALUE", param_hint="--param")
        try:
            params[name] = json.loads(value)
        except ValueError:
            params[name] = value
    return params
