"""Specs: what is accepted, and how every mistake is told."""

from typing import Any

import pytest

from schemas.connector_spec import ConnectorSpec
from schemas.spec_part import seconds_of, variables_of
from schemas.spec_problems import InvalidSpec, parse_spec, spec_of

SEED = {
    "name": "acme",
    "api_base_url": "https://api.acme.example",
    "auth_type": "bearer",
    "rate_limit": "110/10 seconds",
    "openapi_spec_url": "https://acme.example/openapi.json",
    "entities": {"user": {"endpoint": "/users", "pagination": "cursor", "canonical_entity": "user"}},
}


def changed(*path: str, to: Any) -> dict[str, Any]:
    """The shortest spec with one place set to `to`."""
    spec: Any = {**SEED, "entities": {"user": dict(SEED["entities"]["user"])}}  # type: ignore[index]  # a dict
    inner = spec
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return spec  # type: ignore[no-any-return]  # as above


def problems(spec: dict[str, Any]) -> list[str]:
    with pytest.raises(InvalidSpec) as caught:
        spec_of(spec)
    return list(map(str, caught.value.problems))


def test_the_shortest_spec() -> None:
    spec = spec_of(SEED)
    assert spec.entities["user"].pagination.kind == "cursor"
    assert [(limit.limit, seconds_of(limit.per)) for limit in spec.limits] == [(110, 10)]
    assert [auth.kind for auth in spec.auths] == ["bearer"]
    assert spec.entities["user"].primary_key == ("id",)


def test_a_spec_in_full_is_read_back_as_it_was_written() -> None:
    spec = spec_of(
        changed("entities", "user", "incremental", to={"field": "updated", "param": "since", "lookback_seconds": 60})
        | {
            "auth_type": "oauth2",
            "auth": [
                {"kind": "oauth2", "grant": "client_credentials", "token_url": "https://acme.example/token"},
                {"kind": "basic", "username": "{email}/token"},
            ],
            "rate_limits": [{"limit": 10, "per": "minute", "entities": ["user"]}],
            "errors": [{"when": {"status": ["5xx", 429]}, "action": "retry"}],
        }
    )
    assert parse_spec(spec.model_dump_json(by_alias=True, exclude_unset=True)) == spec


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            changed("entities", "user", "endpont", to="/x"),
            "$.entities.user.endpont: unknown key (did you mean endpoint?)",
        ),
        (changed("auth_typ", to="x"), "$.auth_typ: unknown key (did you mean auth_type?)"),
        (changed("entities", "user", "endpoint", to=7), "$.entities.user.endpoint: Input should be a valid string"),
        (
            changed("entities", "user", "pagination", to={"kind": "cursor", "curser_path": "x"}),
            "$.entities.user.pagination.curser_path: unknown key (did you mean cursor_path?)",
        ),
        (
            changed("entities", "user", "records_path", to="a..b"),
            "$.entities.user.records_path: no JMESPath expression",
        ),
        (changed("api_base_url", to="http://acme.example"), "$.api_base_url: "),
        (
            changed("api_base_url", to="https://{subdomain}.acme.example"),
            "$.api_base_url: nothing gives {subdomain} (declare it: config.subdomain)",
        ),
        (
            changed("entities", "user", "endpoint", to="/users/{sinze}") | {"config": {"since": {"description": "s"}}},
            "$.entities.user.endpoint: nothing gives {sinze} (did you mean since?)",
        ),
        (changed("headers", to={"X": "{token}"}), "$.headers: {token} is a credential"),
        (
            changed("entities", "people", to={"endpoint": "/users"}),
            "$.entities.people.endpoint: entity user asks for the same",
        ),
        (
            changed("entities", "user", "parent", to={"entity": "usr", "key": "id", "param": "id"}),
            "$.entities.user.parent.entity: there is no entity usr (did you mean user?)",
        ),
        (changed("auth", to={"kind": "bearer", "tokn": "{t}"}), "$.auth.tokn: unknown key (did you mean token?)"),
        (changed("auth", to=[{"kind": "basic", "user": "x"}]), "$.auth[0].user: unknown key"),
        (changed("auth_type", to="aws_sigv4"), "$: auth_type aws_sigv4 needs `auth` in full"),
        (changed("auth_type", to=None), "$: one of auth_type and auth is needed"),
        (changed("errors", to=[{"when": {}, "action": "fail"}]), "$.errors[0].when: a condition needs at least one"),
        (changed("rate_limit", to="many"), "$.rate_limit: "),
        ({key: value for key, value in SEED.items() if key != "entities"}, "$.entities: missing (add entities)"),
        (
            changed("entities", "user", "incremental", to={"field": "updated"}),
            "$.entities.user.incremental.param: nothing says from when",
        ),
        (
            changed("entities", "user", "fields_endpoint", to={"endpoint": "/f", "max_characters": 900}),
            "$.entities.user.fields_endpoint.max_characters: no request names the fields",
        ),
        (
            changed(
                "entities",
                "user",
                to={
                    "endpoint": "/u",
                    "params": {"f": "{fields}"},
                    "pagination": "link_header",
                    "fields_endpoint": {"endpoint": "/f", "max_characters": 900},
                },
            ),
            "$.entities.user.fields_endpoint.max_characters: a next URL",
        ),
        (
            changed(
                "entities",
                "user",
                to={
                    "endpoint": "/u",
                    "params": {"f": "{fields}"},
                    "pagination": "cursor",
                    "primary_key": [],
                    "fields_endpoint": {"endpoint": "/f", "max_characters": 900},
                },
            ),
            "$.entities.user.fields_endpoint.max_characters: parts of a record",
        ),
        (
            changed(
                "entities",
                "user",
                to={
                    "endpoint": "/u",
                    "records_path": "a",
                    "series": {"path": "a", "lists": {"b": "b"}},
                },
            ),
            "$.entities.user.series: stands in place of records_path",
        ),
    ],
)
def test_a_mistake_is_told_with_its_path_and_a_fix(spec: dict[str, Any], said: str) -> None:
    assert any(problem.startswith(said) for problem in problems(spec)), problems(spec)


def test_all_problems_are_told_at_once() -> None:
    found = problems(changed("entities", "user", "endpont", to="/x") | {"nmae": "x"})
    assert [problem.split(":")[0] for problem in found] == ["$.entities.user.endpont", "$.nmae"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"\$: no JSON"),
        ('{"name": "a", "name": "b"}', "'name' stands twice"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", r"\$: "),
        ('{"name": NaN}', r"\$"),
    ],
)
def test_a_text_that_is_no_spec(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec, match=said):
        parse_spec(text)


def test_variables_are_found_in_keys_and_values() -> None:
    assert variables_of({"{a}": ["{b}-{c}", {"x": "{d}"}], "y": 3, "z": "{} {E}"}) == {"a", "b", "c", "d"}


def test_types_are_not_bent() -> None:
    assert problems(changed("max_concurrent", to="4"))[0].startswith(
        "$.max_concurrent: Input should be a valid integer"
    )
    assert isinstance(spec_of(changed("max_concurrent", to=4)), ConnectorSpec)
