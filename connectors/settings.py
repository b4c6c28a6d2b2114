"""Limits on what connectors may reach, how long they wait, and how much they take. Read once per process."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class ConnectorSettings(BaseSettings):
    """Settings of the generic connector, from the environment."""

    model_config = SettingsConfigDict(env_prefix="AAM_", frozen=True)

    egress_allow: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts that may be private and without TLS, comma-separated `host:port` (port `*`: any). For sandboxes only."""

    specs_folder: Path | None = None
    """Folder with specs of your own, beside those of AAM; of two with one name, yours is taken."""

    connect_timeout_seconds: float = Field(default=10.0, gt=0)
    """Longest wait for an address to be found, and for a connection with TLS to it."""

    read_timeout_seconds: float = Field(default=60.0, gt=0)
    """Longest silence within a response."""

    response_timeout_seconds: float = Field(default=300.0, gt=0)
    """Longest time for a whole response, slowly dripping ones included."""

    retry_deadline_seconds: float = Field(default=900.0, gt=0)
    """Longest time for one page with all its retries and waits."""

    retry_attempts: int = Field(default=6, ge=1)
    """Most tries for one page, waits for a rate limit not counted."""

    circuit_failures: int = Field(default=3, ge=1)
    """Pages given up in a row after which a connection is left alone for a while."""

    circuit_rest_seconds: float = Field(default=60.0, gt=0)
    """How long it is left alone."""

    @field_validator("egress_allow", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
