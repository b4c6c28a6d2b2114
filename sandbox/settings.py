"""What a sandbox is like: how many records, vendors and processes, and whether it holds them to the vendors' limits."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SandboxSettings(BaseSettings):
    """Settings of `aam sandbox`."""

    model_config = SettingsConfigDict(env_prefix="AAM_SANDBOX_", frozen=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8900, ge=0, le=65535, description="Port to listen on; 0: any free one.")
    processes: int = Field(1, ge=1, description="Processes that serve.")
    records: int = Field(1000, ge=1, description="Records of an entity; some have a share of it.")
    vendors: int = Field(0, ge=0, description="Generated vendors beside the eleven, v0001 and so on.")
    entities: int = Field(1, ge=1, le=12, description="Entities of a generated vendor.")
    seed: int = Field(7, description="The same seed gives the same records.")
    limits: bool = Field(True, description="Whether more requests than a vendor allows are refused.")
    fields: Path | None = Field(None, description="CSV of the generated vendors' fields; none: our own.")
    control: Path | None = Field(None, description="File of the commands; none: one of its own.")
