"""The registry's answers: paths, bodies, codes and media type as Confluent's API has them."""

import json
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from gateway.app import create_app
from gateway.settings import GatewaySettings
from registry.errors import RegistryMisconfigured
from registry.pool import Pool
from schemas.canonical_model import load_entities
from schemas.schema_ids import fingerprint, schema_id

CUSTOMER = load_entities()["customer"]
CUSTOMER_ID = schema_id(CUSTOMER)
SUBJECT = "aam.canonical.customer.v1-value"
MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"


def no_registry() -> AbstractContextManager[Pool]:
    """The schemas are served without Postgres."""
    raise RegistryMisconfigured("DATABASE_URL is not set")


CLIENT = TestClient(create_app(GatewaySettings(), no_registry))


def ask(method: str, path: str, body: Any = None, status: int = 200) -> Any:
    content = None if body is None else json.dumps(body)
    answer = CLIENT.request(method, path, content=content, headers={"Content-Type": MEDIA_TYPE})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    return answer.json()


def refused(method: str, path: str, status: int, code: int, body: Any = None) -> str:
    answer = ask(method, path, body, status)
    assert answer.keys() == {"error_code", "message"}
    assert answer["error_code"] == code
    return str(answer["message"])


def test_root_is_empty() -> None:
    assert ask("GET", "/") == {}


def test_subjects_are_those_of_the_entities() -> None:
    assert ask("GET", "/subjects") == [f"aam.canonical.{name}.v1-value" for name in sorted(load_entities())]


def test_lists_can_be_cut() -> None:
    everything = ask("GET", "/subjects")
    assert ask("GET", "/subjects?offset=0&limit=-1&deleted=False") == everything
    assert ask("GET", "/subjects?offset=3&limit=2") == everything[3:5]
    assert ask("GET", "/subjects?offset=100") == []
    assert ask("GET", "/subjects?subjectPrefix=aam.canonical.cust") == [SUBJECT]
    assert ask("GET", "/subjects?subjectPrefix=:*:aam.canonical.cust") == [SUBJECT]


def test_versions() -> None:
    assert ask("GET", f"/subjects/{SUBJECT}/versions?offset=0&limit=-1") == [1]
    refused("GET", "/subjects/other-value/versions", 404, 40401)


@pytest.mark.parametrize("version", ["1", "latest", "-1"])
def test_one_version(version: str) -> None:
    answer = ask("GET", f"/subjects/{SUBJECT}/versions/{version}?deleted=False")
    assert json.loads(answer.pop("schema")) == CUSTOMER.avro
    assert answer == {"subject": SUBJECT, "id": CUSTOMER_ID, "version": 1, "schemaType": "AVRO"}
    assert ask("GET", f"/subjects/{SUBJECT}/versions/{version}/schema") == CUSTOMER.avro
    assert ask("GET", f"/subjects/{SUBJECT}/versions/{version}/referencedby") == []


@pytest.mark.parametrize("version", ["0", "-2", "first", "2147483648", "1.0", "\u0661"])
def test_what_is_no_version(version: str) -> None:
    refused("GET", f"/subjects/{SUBJECT}/versions/{quote(version)}", 422, 42202)


def test_missing_versions() -> None:
    refused("GET", f"/subjects/{SUBJECT}/versions/99", 404, 40402)
    refused("GET", "/subjects/other-value/versions/1", 404, 40401)
    refused("GET", "/subjects/other-value/versions/latest/schema", 404, 40401)


def test_by_id() -> None:
    path = f"/schemas/ids/{CUSTOMER_ID}"
    assert json.loads(ask("GET", f"{path}?format=serialized&subject={SUBJECT}")["schema"]) == CUSTOMER.avro
    assert ask("GET", f"{path}/schema") == CUSTOMER.avro
    assert ask("GET", f"{path}/subjects?offset=0&limit=-1") == [SUBJECT]
    assert ask("GET", f"{path}/versions?subject={SUBJECT}&offset=0&limit=-1") == [{"subject": SUBJECT, "version": 1}]


@pytest.mark.parametrize("path", ["", "/schema", "/subjects", "/versions"])
def test_missing_ids(path: str) -> None:
    refused("GET", f"/schemas/ids/1{path}", 404, 40403)
    assert "schema_id" in refused("GET", f"/schemas/ids/abc{path}", 422, 422)


def test_an_id_is_found_whatever_the_topic_is_called() -> None:
    # Clients send the subject of the topic that they read; topics of another prefix carry the same schemas.
    schema = ask("GET", f"/schemas/ids/{CUSTOMER_ID}?subject=mesh.canonical.customer.v1-value")["schema"]
    assert json.loads(schema) == CUSTOMER.avro


def test_attributes_are_kept() -> None:
    served = json.loads(ask("GET", f"/schemas/ids/{CUSTOMER_ID}")["schema"])
    fields = {field["name"]: field for field in served["fields"]}
    assert fields["tax_number"]["aam.personal"] == "identity"
    assert fields["status"]["aam.values"] == ["active", "inactive", "archived"]


def respelt() -> str:
    schema = {key: value for key, value in reversed(CUSTOMER.avro.items()) if key not in ("name", "namespace")}
    return json.dumps({**schema, "name": "io.aam.canonical.Customer"}, indent=3)


def edited() -> str:
    return json.dumps({**CUSTOMER.avro, "doc": "Other words."})


def test_lookup_is_by_content() -> None:
    answer = ask("POST", f"/subjects/{SUBJECT}?normalize=False&deleted=False", {"schema": respelt()})
    assert (answer["subject"], answer["id"], answer["version"]) == (SUBJECT, CUSTOMER_ID, 1)
    assert fingerprint(json.loads(answer["schema"])) == fingerprint(CUSTOMER.avro)


def test_lookup_of_what_is_not_there() -> None:
    refused("POST", f"/subjects/{SUBJECT}", 404, 40403, {"schema": edited()})
    refused("POST", f"/subjects/{SUBJECT}", 404, 40403, {"schema": '"string"'})
    refused("POST", "/subjects/other-value", 404, 40401, {"schema": respelt()})


@pytest.mark.parametrize("text", ["{", '"nothing"', '{"type": "record"}', "1", "[" * 100_000])
def test_what_is_no_schema(text: str) -> None:
    refused("POST", f"/subjects/{SUBJECT}", 422, 42201, {"schema": text})
    refused("POST", f"/subjects/{SUBJECT}/versions", 422, 42201, {"schema": text})


def test_other_types_of_schema() -> None:
    message = refused("POST", f"/subjects/{SUBJECT}", 422, 42201, {"schema": "{}", "schemaType": "JSON"})
    assert "AVRO" in message
    assert ask("GET", "/schemas/types") == ["AVRO"]


@pytest.mark.parametrize("body", [{}, [], {"schema": 3}, "x"])
def test_bodies_that_are_not_understood(body: Any) -> None:
    refused("POST", f"/subjects/{SUBJECT}", 422, 422, body)


@given(st.text(max_size=20))
def test_no_text_brings_the_lookup_down(text: str) -> None:
    answer = CLIENT.post(f"/subjects/{SUBJECT}", json={"schema": text}, headers={"Content-Type": MEDIA_TYPE})
    assert answer.status_code in {404, 422}
    assert answer.json()["error_code"] in {40403, 42201}


def test_registering_what_is_there_gives_its_id() -> None:
    answer = ask("POST", f"/subjects/{SUBJECT}/versions?normalize=False", {"schema": respelt(), "schemaType": "AVRO"})
    assert answer == {"id": CUSTOMER_ID, "version": 1}


def test_registering_anything_else_is_refused() -> None:
    assert "read-only" in refused("POST", f"/subjects/{SUBJECT}/versions", 422, 42205, {"schema": edited()})
    refused("POST", "/subjects/other-value/versions", 422, 42205, {"schema": respelt()})


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", f"/subjects/{SUBJECT}"),
        ("DELETE", f"/subjects/{SUBJECT}/versions/1"),
        ("PUT", "/config"),
        ("PUT", f"/config/{SUBJECT}"),
        ("DELETE", "/config"),
        ("DELETE", f"/config/{SUBJECT}"),
        ("PUT", "/mode"),
        ("PUT", f"/mode/{SUBJECT}"),
        ("DELETE", f"/mode/{SUBJECT}"),
    ],
)
def test_writes_are_refused(method: str, path: str) -> None:
    refused(method, path, 422, 42205, {"compatibility": "NONE"})


def test_config_and_mode() -> None:
    assert ask("GET", "/config") == {"compatibilityLevel": "BACKWARD_TRANSITIVE"}
    assert ask("GET", f"/config/{SUBJECT}") == {"compatibilityLevel": "BACKWARD_TRANSITIVE"}
    assert ask("GET", "/mode") == {"mode": "READONLY"}
    assert ask("GET", f"/mode/{SUBJECT}") == {"mode": "READONLY"}
    refused("GET", "/config/other-value", 404, 40408)
    refused("GET", "/mode/other-value", 404, 40409)
    assert ask("GET", "/config/other-value?defaultToGlobal=true") == {"compatibilityLevel": "BACKWARD_TRANSITIVE"}
    assert ask("GET", "/mode/other-value?defaultToGlobal=true") == {"mode": "READONLY"}
