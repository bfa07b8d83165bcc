"""Every setting of Kapok, read from the environment (or a .env file) once.

Names are the environment variables in lower case. In development every setting has a default; in production
(`ENV=production`) a secret without a value stops the start with a sentence that says which one.
"""

from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, Self
from zoneinfo import available_timezones

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Pairs of provider and payee country that no contract allows; only what is certain stands here.
_IMPOSSIBLE_PAYEES: Final = {
    ("stripe", "CN"): "Stripe has no payouts to the mainland, and pooling client money there needs a licence;"
    " use a licensed institution's split product",
}


class Settings(BaseSettings):
    """All settings. Durations carry their unit in the name; money is in minor units."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore")

    env: Literal["dev", "test", "production"] = "dev"
    kapok_home: Path = Path(".kapok")

    # servers; empty means: `kapok up` starts its own and sets them for its children
    database_url: str = ""
    redis_url: str = ""
    # the role the processes act as; migrations make it, and it may not change ledger or audit rows
    database_role: str = "kapok_app"
    db_pooler: Literal["none", "transaction"] = "none"
    db_pool_size: int = 10
    db_max_overflow: int = 10
    db_echo: bool = False

    # HTTP
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = ""
    # where the workers reach the API, when that is not the public address (behind a proxy, in containers)
    internal_url: str = ""
    api_workers: int = 2
    max_body_bytes: int = 8 * 1024 * 1024
    rate_limit_per_minute: int = 6000
    sign_in_limit_per_minute: int = 30

    # secrets: generated into KAPOK_HOME by `kapok up`, required in production
    secret_key: SecretStr = SecretStr("")
    jwt_keys: SecretStr = SecretStr("")
    proof_signing_key: SecretStr = SecretStr("")
    proof_retired_keys: str = ""

    access_token_seconds: int = 15 * 60
    refresh_token_seconds: int = 30 * 24 * 3600

    # object store: a folder by default, s3://bucket/prefix by setting
    object_store_url: str = ""
    s3_endpoint: str = ""
    s3_region: str = ""
    signed_url_seconds: int = 900
    max_upload_bytes: int = 20 * 1024**3

    # workers
    worker_processes: int = 1
    relay_poll_seconds: float = 0.05
    job_lease_seconds: float = 8.0
    job_max_tries: int = 8

    # market rules that the operator sets
    platform_fee_bps: int = Field(default=1000, ge=0, le=5000)
    claim_lease_seconds: int = 1800
    rework_window_seconds: int = 24 * 3600
    appeal_window_seconds: int = 7 * 24 * 3600
    appeal_answer_days: float = Field(default=7, gt=0, le=90)

    # payments
    payment_provider: Literal["sandbox", "stripe"] = Field(
        default="sandbox", validation_alias=AliasChoices("payment_provider", "kapok_payments")
    )
    # where payees are paid, when that is not where the money comes in
    payout_provider: Literal["", "sandbox", "stripe", "bank_file"] = ""
    # ISO 3166 codes, comma-separated: where the people and vendors live that are paid out to
    payee_countries: str = ""
    stripe_api_key: SecretStr = SecretStr("")
    # comma-separated: an endpoint for events, one for those of accounts, and the old ones while they are exchanged
    stripe_webhook_secrets: SecretStr = SecretStr("")
    stripe_api_base: str = ""
    # for Stripe's script in the payer's browser; not a secret
    stripe_publishable_key: str = ""
    # where payees come back to from the provider's pages, and where they go when a page has lapsed
    payee_return_url: str = ""
    payee_refresh_url: str = ""
    # confirms charges by itself; only with a key of Stripe's test mode
    stripe_test_payment_method: str = ""
    sandbox_in_production: bool = False
    sandbox_webhook_secret: SecretStr = SecretStr("")

    # nothing is paid out for this long after a payee changed the bank account
    payout_method_cooling_seconds: int = Field(default=24 * 3600, ge=0)

    # 0: the provider's own limit; shorter where the law says so (Stripe in Thailand: 10)
    provider_hold_limit_days: int = Field(default=0, ge=0)
    # whether the provider must know a payee before money is released to them, or only before it is paid out
    kyc_required_before: Literal["payout", "release"] = "payout"

    # tax on payouts to people: `none` until the operator has chosen a mode and answers for a table of rates
    tax_mode: Literal["platform_cumulative", "per_payment", "vendor_is_employer", "none"] = "none"
    tax_table_file: Path | None = None
    # comma-separated types of tax forms that payees may hand in
    tax_form_types: str = "w9,w8ben,w8bene,cn_identity"
    # JSON: by ISO 3166 country of the payee, the types without which nobody there is paid out
    tax_forms_required: dict[str, list[str]] = {}
    # tables (JSON) that the operator answers for; Kapok ships no figure of either
    min_pay_table_file: Path | None = None
    retention_table_file: Path | None = None

    # the legal entity that sells to enterprises and issues invoices and receipts; there is no default for any of it
    operator_legal_name: str = ""
    operator_tax_id: str = ""
    operator_address: str = ""
    invoice_prefix: str = Field(default="", pattern=r"^[A-Z0-9-]{0,16}$")
    # in which days and months of invoices and statements are counted
    papers_time_zone: str = "UTC"

    # observability
    log_level: str = "INFO"
    log_json: bool = False
    metrics_port: int = 0
    otel_exporter_otlp_endpoint: str = ""

    @model_validator(mode="after")
    def refuse_missing_tax_table(self) -> Self:
        """Stop a start that is to withhold tax and has no table of rates."""
        if self.tax_mode in {"platform_cumulative", "per_payment"} and self.tax_table_file is None:
            raise ValueError(f"TAX_MODE={self.tax_mode} needs TAX_TABLE_FILE, a table of rates; see docs/operations.md")
        return self

    @field_validator("papers_time_zone")
    @classmethod
    def refuse_unknown_time_zone(cls, name: str) -> str:
        """Stop a start with a time zone that does not exist."""
        if name not in available_timezones():
            raise ValueError(f"PAPERS_TIME_ZONE={name} is no time zone; use a name like Asia/Shanghai")
        return name

    @model_validator(mode="after")
    def refuse_unknown_tax_forms(self) -> Self:
        """Stop a start that would ask payees for a form which nobody can hand in."""
        for country, forms in self.tax_forms_required.items():
            unknown = set(forms) - set(self.tax_form_type_names)
            if unknown:
                raise ValueError(f"TAX_FORMS_REQUIRED for {country} names {sorted(unknown)}, not in TAX_FORM_TYPES")
        return self

    @model_validator(mode="after")
    def refuse_missing_secrets(self) -> Self:
        """Stop a production start that lacks a secret, naming each one."""
        if self.env != "production":
            return self
        wanted = ("database_url", "redis_url", "secret_key", "jwt_keys", "proof_signing_key", "public_url")
        missing = [name.upper() for name in wanted if not _value(getattr(self, name))]
        if "sandbox" in self.providers_in_use and not self.sandbox_in_production:
            missing.append("PAYMENT_PROVIDER (the sandbox moves no real money; SANDBOX_IN_PRODUCTION=true allows it)")
        if "stripe" in self.providers_in_use:
            stripe = ("stripe_api_key", "stripe_webhook_secrets")
            missing += [name.upper() for name in stripe if not _value(getattr(self, name))]
        if missing:
            raise ValueError("production needs these settings: " + ", ".join(missing))
        return self

    @model_validator(mode="after")
    def refuse_impossible_payments(self) -> Self:
        """Stop a start whose provider cannot pay the payees, or would confirm real charges by itself."""
        for country in self.payee_country_codes:
            reason = _IMPOSSIBLE_PAYEES.get((self.pays_out_by, country))
            if reason:
                name = "PAYOUT_PROVIDER" if self.payout_provider else "PAYMENT_PROVIDER"
                raise ValueError(f"{name}={self.pays_out_by} cannot pay payees in {country}: {reason}")
        if self.stripe_test_payment_method and not _value(self.stripe_api_key).startswith("sk_test_"):
            raise ValueError("STRIPE_TEST_PAYMENT_METHOD needs a STRIPE_API_KEY of the test mode (sk_test_…)")
        return self

    @property
    def pays_out_by(self) -> str:
        """The provider by which payees are paid."""
        return self.payout_provider or self.payment_provider

    @property
    def providers_in_use(self) -> list[str]:
        """The providers that hold money of ours: where it comes in, and where it is paid out if that is another."""
        return list(dict.fromkeys((self.payment_provider, self.pays_out_by)))

    @property
    def payee_country_codes(self) -> list[str]:
        """The countries of payees, as ISO 3166 alpha-2 codes in capitals."""
        return [code.strip().upper() for code in self.payee_countries.split(",") if code.strip()]

    @property
    def missing_for_papers(self) -> list[str]:
        """The settings without which no invoice and no receipt can be issued, as environment variables."""
        wanted = ("operator_legal_name", "operator_tax_id", "operator_address", "invoice_prefix")
        return [name.upper() for name in wanted if not getattr(self, name)]

    @property
    def tax_form_type_names(self) -> list[str]:
        """The types of tax forms that payees may hand in."""
        return [name.strip() for name in self.tax_form_types.split(",") if name.strip()]

    @property
    def webhook_secrets_of_stripe(self) -> list[str]:
        """The secrets of our endpoints at Stripe; any of them may have signed."""
        return [secret.strip() for secret in _value(self.stripe_webhook_secrets).split(",") if secret.strip()]

    @property
    def base_url(self) -> str:
        """The address under which people reach this Kapok, without a trailing slash."""
        return self.public_url.rstrip("/") or f"http://{self.host}:{self.port}"

    @property
    def payee_pages(self) -> tuple[str, str]:
        """Where payees come back to from the provider's pages, and where they go when such a page has lapsed."""
        own = f"{self.base_url}/payee-onboarding"
        return self.payee_return_url or f"{own}?done=1", self.payee_refresh_url or own

    @property
    def internal_base_url(self) -> str:
        """The address under which this Kapok's own processes reach its API, without a trailing slash."""
        return self.internal_url.rstrip("/") or self.base_url


def _value(setting: str | SecretStr) -> str:
    return setting.get_secret_value() if isinstance(setting, SecretStr) else setting


@lru_cache
def get_settings() -> Settings:
    """The process's settings; tests call `get_settings.cache_clear()` after changing the environment."""
    return Settings()
