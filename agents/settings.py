"""Settings of the worker, read once from the environment (prefix `AAM_`). Every field names its unit."""

import re
import socket
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from mapping.decide import Bands

ORDINAL = re.compile(r"-(\d+)$")


class WorkerSettings(BaseSettings):
    """How one worker process reads, batches and gives up."""

    model_config = SettingsConfigDict(env_prefix="AAM_", frozen=True, extra="ignore")

    worker_slot: int | None = Field(default=None, ge=0, description="This worker's place, stable over restarts.")
    worker_port: int = Field(default=6066, ge=0, le=65535, description="Port of health and metrics; 0 takes any.")
    worker_host: str = Field(default="127.0.0.1", description="Address that health and metrics listen on.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="Least level logged.")
    state_dir: Path = Field(
        default=Path(tempfile.gettempdir()) / "aam-worker", description="Folder that outlives the process, per slot."
    )
    event_format: Literal["avro", "json"] = Field(default="avro", description="Encoding of canonical events.")

    start_wait_seconds: float = Field(default=5.0, ge=0, description="Longest wait for missing topics, then refuse.")
    batch_records: int = Field(default=10_000, ge=1, description="Most records in a batch.")
    batch_deadline_seconds: float = Field(default=30.0, gt=0, description="Longest work on one batch, then abort.")
    batch_attempts: int = Field(default=5, ge=1, description="Tries of one batch before the worker gives up.")
    retry_seconds: float = Field(default=0.5, gt=0, description="First pause before a replay; doubles, with jitter.")
    transaction_timeout_seconds: float = Field(default=60.0, gt=0, description="Kafka aborts a transaction after it.")
    session_timeout_seconds: float = Field(default=10.0, gt=0, description="Kafka gives a silent worker's work away.")
    loop_stall_seconds: float = Field(default=30.0, gt=0, description="A still event loop ends the process after it.")

    novel_reannounce_seconds: float = Field(default=6 * 3600.0, gt=0, description="An unmapped path is told again.")
    publish_interval_seconds: float = Field(default=0.25, gt=0, description="Registry changes are gathered so long.")
    gather_seconds: float = Field(default=1.0, ge=0, description="New fields of an entity are gathered so long.")
    sources_at_once: int = Field(default=20, ge=1, description="Most sources whose fields are scored in one go.")
    band_active: float = Field(default=0.95, ge=0, le=1, description="Least probability of a mapping made at once.")
    band_provisional: float = Field(default=0.85, ge=0, le=1, description="Least of one that a person sees as well.")
    band_strict_active: float = Field(default=0.97, ge=0, le=1, description="For keys, money, identity and times.")
    band_strict_provisional: float = Field(default=0.90, ge=0, le=1, description="Likewise.")
    band_nothing: float = Field(default=0.95, ge=0, le=1, description="Least probability of having no counterpart.")
    band_entity: float = Field(default=0.98, ge=0, le=1, description="Least of an entity that no person confirms.")
    release_chunk_records: int = Field(default=2_000, ge=1, description="Most parked records a transaction releases.")

    @model_validator(mode="after")
    def _deadline_inside_transaction(self) -> "WorkerSettings":
        if self.batch_deadline_seconds >= self.transaction_timeout_seconds:
            raise ValueError("AAM_BATCH_DEADLINE_SECONDS must be below AAM_TRANSACTION_TIMEOUT_SECONDS")
        return self

    @cached_property
    def bands(self) -> Bands:
        """The least probabilities of decisions."""
        return Bands(
            active=self.band_active,
            provisional=self.band_provisional,
            strict_active=self.band_strict_active,
            strict_provisional=self.band_strict_provisional,
            nothing=self.band_nothing,
            entity=self.band_entity,
        )

    @cached_property
    def slot(self) -> int:
        """`worker_slot`, else the ordinal that ends the host name (`aam-worker-3` → 3), else 0."""
        if self.worker_slot is not None:
            return self.worker_slot
        ordinal = ORDINAL.search(socket.gethostname())
        return int(ordinal.group(1)) if ordinal else 0
