"""Where the local services keep their files, and how large they may grow. What a cluster of your own needs stands in
`topics.settings` and `registry.settings`."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class LocalSettings(BaseSettings):
    """Settings of the Kafka and Postgres that AAM starts itself."""

    model_config = SettingsConfigDict(env_prefix="AAM_", frozen=True)

    home: Path = Field(
        Path(".aam"), description="Folder of local state (data, logs, locks); relative to where you are."
    )
    kafka_heap_mib: int = Field(512, ge=128, description="Java heap of the local Kafka, MiB.")

    @property
    def root(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().resolve()
