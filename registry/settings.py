"""Where the registry is and how long its callers wait for it. Read once per process, at its start."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class RegistrySettings(BaseSettings):
    """Settings of the registry, from the environment."""

    model_config = SettingsConfigDict(env_prefix="AAM_REGISTRY_", frozen=True, populate_by_name=True)

    database_url: SecretStr | None = Field(default=None, validation_alias="DATABASE_URL")
    """PostgreSQL 15 or newer with pgvector, as `postgresql://…`. None: the local one, if it runs."""

    pool_min_connections: int = Field(default=1, ge=0)
    """Connections kept open, per process."""

    pool_max_connections: int = Field(default=8, ge=1)
    """Most connections open at once, per process."""

    pool_max_waiting: int = Field(default=64, ge=1)
    """Most callers that wait for a connection; one more is told that the registry is unavailable."""

    pool_timeout_seconds: float = Field(default=5.0, gt=0)
    """Longest wait for a connection."""

    connect_timeout_seconds: int = Field(default=5, ge=2)
    """Longest wait for a new connection to be accepted (libpq: at least 2)."""

    query_timeout_seconds: float = Field(default=15.0, gt=0)
    """Longest run of one statement, and of an idle transaction."""

    lock_timeout_seconds: float = Field(default=10.0, gt=0)
    """Longest wait for the lock of the revision."""

    bar_self_approval: bool = Field(default=False, validation_alias="AAM_BAR_SELF_APPROVAL")
    """Whether a person's own proposal needs somebody else's approval. Then nobody sets a mapping without one."""
