"""Where the gateway listens."""

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class GatewaySettings(BaseSettings):
    """Settings of the gateway, from `AAM_GATEWAY_*`."""

    model_config = SettingsConfigDict(env_prefix="AAM_GATEWAY_", frozen=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 for all of the machine's.")
    port: int = Field(default=8085, ge=1, le=65535, description="TCP port to listen on.")
    root_path: str = Field(
        default="", description="Path under which a reverse proxy serves the gateway and that it strips, e.g. /aam."
    )
