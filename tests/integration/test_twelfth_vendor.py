"""A vendor that AAM has never heard of, added as CONTRIBUTING says: two JSON files, and no code."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from registry.mapping_store import MappingStore
from registry.pool import open_pool
from registry.seeds import load_seeds
from registry.settings import RegistrySettings

SPEC = {
    "name": "tidebase",
    "api_base_url": "https://{region}.tidebase.example/rest",
    "config": {"region": {"description": "Where the account is, as in its address.", "example": "eu"}},
    "auth": {"kind": "session_token", "login_url": "/login", "token_path": "session", "header": "X-Session",
             "prefix": ""},
    "rate_limit": "50/second",
    "errors": [{"when": {"body": "fault"}, "action": "fail", "message_path": "fault.text"}],
    "entities": {
        "client": {
            "endpoint": "/clients",
            "records_path": "page.rows",
            "pagination": {
                "kind": "page", "cursor_param": "no", "pages_path": "page.of", "size_param": "n", "page_size": 2,
            },
            "primary_key": ["ref"],
            "incremental": {"field": "touched", "param": "touched_from", "format": "epoch_seconds"},
            "deletes": {"when": "gone"},
            "canonical_entity": "customer",
        }
    },
}  # fmt: skip
MAPPINGS = {
    "connector": "tidebase",
    "entities": {
        "client": {
            "ignored": ["gone"],
            "targets": {
                "customer": {
                    "display_name": "title",
                    "emails": "mail",
                    "updated_at": {"from": "touched", "op": "epoch_seconds"},
                }
            },
        }
    },
}
CLIENTS = [
    {"ref": f"c{n}", "title": f"Client {n}", "mail": f"c{n}@tide.example", "touched": 1_700_000_000 + n}
    for n in range(5)
]


class Tidebase(BaseHTTPRequestHandler):
    """The vendor."""

    asked: list[str]

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        known = json.loads(self.rfile.read(length)) == {"username": "u", "password": "p"}
        self._answer(200 if known else 401, {"session": "s-1"} if known else {})

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.headers.get("X-Session") != "s-1":
            self._answer(401, {})
            return
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        found = [client for client in CLIENTS if client["touched"] >= int(query.get("touched_from", 0))]  # type: ignore[operator]  # an int
        at, size = (int(query["no"]) - 1) * int(query["n"]), int(query["n"])
        rows = found[at : at + size]
        self._answer(200, {"page": {"rows": rows, "of": -(-len(found) // size)}})

    def _answer(self, status: int, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def tidebase() -> Iterator[tuple[str, list[str]]]:
    handler = type("Handler", (Tidebase,), {"asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]  # given above
    server.shutdown()
    server.server_close()


def test_two_json_files_make_a_connector(mesh: Any, tidebase: tuple[str, list[str]], tmp_path: Path) -> None:
    url, asked = tidebase
    (tmp_path / "tidebase.json").write_text(json.dumps(SPEC))
    (tmp_path / "tidebase.mappings.json").write_text(json.dumps(MAPPINGS))
    mesh.env |= {
        "AAM_SPECS_FOLDER": str(tmp_path), "AAM_EGRESS_ALLOW": url.removeprefix("http://"),
        "TIDE_U": "u", "TIDE_P": "p",
        "AAM_SECRET_ENV": "acme=TIDE_U,acme=TIDE_P",
    }  # fmt: skip

    def aam(*arguments: str) -> Any:
        done = mesh.aam("connectors", *arguments)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout) if "--json" in arguments else done.stdout

    assert aam("validate", "tidebase", "--json") == {"tidebase": []}
    secrets = ["--secret", "username=env:TIDE_U", "--secret", "password=env:TIDE_P"]
    aam("add", "tidebase", "--tenant", "acme", "--set", "region=eu", "--base-url", url, *secrets)
    settings = RegistrySettings(DATABASE_URL=SecretStr(mesh.database_url))  # type: ignore[call-arg]  # an alias
    with open_pool(settings) as pool:
        MappingStore(pool).import_seed(load_seeds(["tidebase"], tmp_path), actor="test")
    worker = mesh.worker()
    assert aam("sync", "tidebase", "--tenant", "acme", "--json")["records"] == {"client": 5}
    CLIENTS[1] |= {"gone": True, "touched": 1_800_000_000}
    again = aam("sync", "tidebase", "--tenant", "acme", "--json")
    assert again["records"] == {"client": 2}  # the latest once more, and what changed
    assert "touched_from=1700000004" in asked[-1]
    events = mesh.events(7)
    latest = {event["aam"]["source_id"]: event for event in events}
    assert latest["c0"]["display_name"] == "Client 0"
    assert latest["c0"]["emails"] == ["c0@tide.example"]
    assert (latest["c1"]["aam"]["op"], latest["c4"]["aam"]["op"]) == ("delete", "upsert")
    assert {event["aam"]["connection"] for event in events} == {"tidebase"}
    assert worker.metric("aam_dead_letters_total") == 0
