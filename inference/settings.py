"""Which embedder and which language model are used, what they may cost, and how long their callers wait."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class InferenceSettings(BaseSettings):
    """Settings of embedders and of the language model, from the environment. Without a key no model is asked."""

    model_config = SettingsConfigDict(
        env_prefix="AAM_", frozen=True, extra="ignore", hide_input_in_errors=True, populate_by_name=True
    )

    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias="OPENAI_API_KEY",
        description="Key of the endpoint; any text for one without keys.",
    )
    openai_base_url: str | None = Field(
        default=None, validation_alias="OPENAI_BASE_URL", description="OpenAI-compatible endpoint; None: OpenAI's own."
    )

    embedder: Literal["local", "openai", "sentence-transformers"] = Field(
        default="local", description="Who turns field names into vectors."
    )
    embedding_model: str | None = Field(default=None, description="Its model; None: the embedder's default.")
    embedding_timeout_seconds: float = Field(default=20.0, gt=0, description="Longest wait for one request's vectors.")

    llm_model: str = Field(default="gpt-4.1-mini", description="Model that is asked about doubtful fields.")
    llm_temperature: float | None = Field(default=0.0, ge=0, description="None for models that take no temperature.")
    llm_timeout_seconds: float = Field(default=30.0, gt=0, description="Longest wait for one answer, retries apart.")
    llm_retries: int = Field(default=2, ge=0, description="Further tries after 429, 5xx or no answer, with backoff.")
    llm_fields_per_call: int = Field(default=25, ge=1, le=50, description="Most fields of one entity in one call.")
    llm_calls_at_once: int = Field(default=4, ge=1, description="Most calls under way in one worker.")
    llm_answer_bytes: int = Field(default=1 << 20, ge=1024, description="A longer answer is not read on.")
    llm_breaker_failures: int = Field(default=5, ge=1, description="Failed calls in a row after which none is made.")
    llm_breaker_seconds: float = Field(default=60.0, gt=0, description="Pause after so many failures.")
    llm_input_usd: float = Field(default=0.40, ge=0, description="US dollars for a million tokens read.")
    llm_output_usd: float = Field(default=1.60, ge=0, description="US dollars for a million tokens written.")
    llm_calls_per_month: int = Field(
        default=1_000, ge=0, description="A tenant's calls a month, if it has no own limit."
    )
    llm_tokens_per_month: int = Field(default=3_000_000, ge=0, description="A tenant's tokens a month, likewise.")
