"""Settings of the sandbox provider, read from the environment: `SANDBOX_FEE_BPS` and so on."""

from functools import lru_cache

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class SandboxSettings(BaseSettings):
    """How the sandbox behaves. By default all happens at once and costs nothing."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", env_file=".env", extra="ignore")

    fee_bps: int = Field(default=0, ge=0, le=1000)
    available_after_seconds: int = Field(default=0, ge=0)
    paid_after_seconds: int = Field(default=0, ge=0)
    returned_after_seconds: int = Field(default=0, ge=0)
    dispute_fee_minor: int = Field(default=0, ge=0)


@lru_cache
def get_sandbox_settings() -> SandboxSettings:
    """The process's settings of the sandbox."""
    return SandboxSettings()
