"""The application as a whole: health, settings."""

from contextlib import AbstractContextManager

import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from gateway.app import create_app
from gateway.settings import GatewaySettings
from registry.errors import RegistryMisconfigured
from registry.pool import Pool


def no_registry() -> AbstractContextManager[Pool]:
    """The schemas are served without Postgres."""
    raise RegistryMisconfigured("DATABASE_URL is not set")


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health(path: str) -> None:
    answer = TestClient(create_app(GatewaySettings(), no_registry)).get(path)
    assert answer.status_code == 200
    assert answer.json()["status"] == path.rpartition("/")[2]


def test_settings_have_defaults_and_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "ROOT_PATH"):
        monkeypatch.delenv(f"AAM_GATEWAY_{name}", raising=False)
    assert (GatewaySettings().host, GatewaySettings().port) == ("127.0.0.1", 8085)
    monkeypatch.setenv("AAM_GATEWAY_PORT", "9000")
    assert GatewaySettings().port == 9000
    monkeypatch.setenv("AAM_GATEWAY_PORT", "65536")
    with pytest.raises(ValidationError):
        GatewaySettings()


def test_the_api_describes_itself_under_a_proxy() -> None:
    answer = TestClient(create_app(GatewaySettings(root_path="/aam"), no_registry)).get("/openapi.json")
    assert answer.json()["servers"] == [{"url": "/aam"}]
    assert "/schemas/ids/{schema_id}" in answer.json()["paths"]
