"""Drift and bad days on command, as a connector meets them: an error that says what is wrong, or the changed record."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from connectors.errors import BadResponse, VendorUnavailable
from sandbox.app import SandboxApp
from sandbox.drift import Change, apply_changes

Make = Callable[..., SandboxApp]

NO_WAIT = {"retry_attempts": 1}


def command(client: Any, app: SandboxApp, what: str, **body: Any) -> Any:
    answer = client(app).post(f"/_sandbox/{what}", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(
    ("fault", "error", "said"),
    [
        ({"kind": "html"}, BadResponse, "HTML"),
        ({"kind": "malformed"}, BadResponse, "truncated JSON"),
        ({"kind": "status", "status": 503}, VendorUnavailable, "503"),
        ({"kind": "huge", "megabytes": 65}, BadResponse, "larger|too large|more than"),
        ({"kind": "bomb", "megabytes": 65}, BadResponse, "larger|too large|more than"),
        ({"kind": "endless"}, BadResponse, "came twice"),
        ({"kind": "repeat"}, BadResponse, "came twice|truncated|no record"),
        ({"kind": "keyless"}, BadResponse, "no key at id"),
        ({"kind": "error_200"}, BadResponse, "nothing at data"),
    ],
)
def test_a_bad_day_ends_the_entity_with_its_reason(
    fault: dict[str, Any], error: type[Exception], said: str, sandbox: Make, client: Any, sync_all: Any
) -> None:
    app = sandbox(records=250, limits=False)
    command(client, app, "faults", vendor="stripe", entity="charge", **fault)
    found = sync_all(app, "stripe", ["charge", "product"], **NO_WAIT)
    assert isinstance(found["charge"].error, error), found["charge"].error
    assert re.search(said, str(found["charge"].error))
    assert found["product"].error is None


def test_a_bad_day_can_end(sandbox: Make, client: Any, sync_all: Any) -> None:
    app = sandbox()
    command(client, app, "faults", vendor="stripe", entity="charge", kind="status", status=500, times=2)
    assert sync_all(app, "stripe", ["charge"])["charge"].error is None
    command(client, app, "faults", vendor="*", kind="limit", times=1)
    assert [client(app).get("/github/orgs/o/repos").status_code for _ in range(2)] == [403, 200]


def test_drift_shows_in_every_record_until_it_is_cleared(sandbox: Make, client: Any, sync_all: Any) -> None:
    app = sandbox()
    for change in (
        {"kind": "rename", "field": "email", "to": "email_address"},
        {"kind": "add", "field": "metadata.tier", "value": "gold"},
        {"kind": "remove", "field": "phone"},
        {"kind": "retype", "field": "created", "to": "string"},
        {"kind": "retype", "field": "delinquent", "to": "string"},
    ):
        command(client, app, "drift", vendor="stripe", entity="customer", **change)
    records = [json.loads(found.value) for found in sync_all(app, "stripe", ["customer"])["customer"].records]
    assert len(records) == 20
    for record in records:
        assert "email_address" in record
        assert not {"email", "phone"} & record.keys()
        assert record["metadata"]["tier"] == "gold"
        assert record["created"].isdigit()
        assert record["delinquent"] in ("true", "false")
    assert client(app).ask("DELETE", "/_sandbox/commands").json()["drift"] == {}
    assert "email" in json.loads(sync_all(app, "stripe", ["customer"])["customer"].records[0].value)


def test_another_process_sees_the_commands(sandbox: Make, client: Any) -> None:
    first, second = sandbox(), sandbox()
    command(client, first, "drift", vendor="github", entity="user", kind="remove", field="type")
    assert "type" not in client(second).get("/github/orgs/o/members").json()[0]


@pytest.mark.parametrize(
    ("what", "body", "said"),
    [
        ("drift", {"vendor": "acme", "entity": "x", "kind": "remove", "field": "a"}, "no vendor acme"),
        ("drift", {"vendor": "stripe", "entity": "refund", "kind": "remove", "field": "a"}, "no entity refund"),
        ("drift", {"vendor": "stripe", "entity": "charge", "kind": "rename", "field": "a"}, "needs `to`"),
        ("faults", {"vendor": "stripe", "kind": "flood"}, "Input should be"),
    ],
)
def test_a_command_that_means_nothing_is_refused(
    what: str, body: dict[str, Any], said: str, sandbox: Make, client: Any
) -> None:
    answer = client(sandbox()).post(f"/_sandbox/{what}", json=body)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_a_change_reaches_into_arrays_and_leaves_what_it_was_given() -> None:
    records = [{"lines": [{"price": {"id": 1}}, {"price": {"id": None}}], "other": 1}]
    change = Change(kind="retype", field="lines.price.id", to="string")
    assert apply_changes(records, [change]) == [
        {"lines": [{"price": {"id": "1"}}, {"price": {"id": None}}], "other": 1}
    ]
    assert records[0]["lines"][0]["price"]["id"] == 1  # type: ignore[index]  # as it was
