"""`aam connectors discover --publish`: what samples show is announced as schema changes, the same each time."""

import json
from pathlib import Path
from typing import Any

from schemas.messages import SchemaChange


def test_samples_are_announced(mesh: Any, tmp_path: Path) -> None:
    path = tmp_path / "customer.json"
    path.write_text(json.dumps([{"id": 1, "email": "a@example.com"}, {"id": 2, "email": None}]))
    told = ["connectors", "discover", "crm", "--samples", str(path), "--publish", "--tenant", "acme"]
    for connection in ("crm", "crm-eu"):
        run = mesh.aam(*told, "--connection", connection)
        assert run.returncode == 0, run.stderr
    messages = mesh.read(mesh.kafka.names.schema_changes, 2)
    changes = [SchemaChange.model_validate_json(message.value() or b"") for message in messages]
    assert {message.key() for message in messages} == {b"acme"}
    assert {(c.connector, c.entity, c.connection, c.source) for c in changes} == {
        ("crm", "customer", "crm", "sample"),
        ("crm", "customer", "crm-eu", "sample"),
    }
    assert [field.path for field in changes[0].fields] == ["email", "id"]
    assert changes[0].primary_key == ("id",)
    assert {change.fingerprint for change in changes} == {changes[0].source_schema().fingerprint}
    assert b"example.com" not in b"".join(message.value() or b"" for message in messages)
