"""The application: what it opens at start, and every router.

Run by `uvicorn api.app:create_app --factory`; `kapok up` and docker/ do just that.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from redis.asyncio import Redis
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from api import errors, health, openapi, reference
from api.limits import make_limiter
from api.middleware import Correlation
from api.routes import (
    annotators,
    auth,
    bank_files,
    bids,
    bonuses,
    chargebacks,
    clearing,
    control_rules,
    deliveries,
    delivery_report,
    earnings,
    gates,
    gold,
    identity,
    invoices,
    law,
    manual_postings,
    money,
    objects,
    operator_ledger,
    overlap,
    payees,
    payment_controls,
    payout_controls,
    process,
    progress,
    proofs,
    quality,
    receipts,
    requests,
    reviews,
    sandbox,
    statements,
    tax,
    tax_forms,
    uploads,
    vetting,
    work,
)
from api.session import Resources
from api.webhooks import payments
from marketplace.core import telemetry
from marketplace.core.db import open_database
from marketplace.core.log import configure_logging
from marketplace.core.settings import Settings, get_settings
from marketplace.core.storage import open_store
from marketplace.identity.tokens import KeyRing, TokenSigner, TokenVerifier
from marketplace.payments.providers import close_gateways
from marketplace.payments.rules import payout_rules
from marketplace.settlement.pay_rules import minimum_table

REDIS_TIMEOUT_SECONDS: Final = 2.0
# The documentation follows the tags; calls are matched in this order, so the one with the hot path comes first.
ROUTERS = tuple(
    module.router
    for module in (
        work,
        health,
        auth,
        identity,
        vetting,
        requests,
        uploads,
        objects,
        bids,
        quality,
        control_rules,
        deliveries,
        delivery_report,
        progress,
        money,
        payout_controls,
        annotators,
        bonuses,
        manual_postings,
        chargebacks,
        operator_ledger,
        gold,
        overlap,
        gates,
        reviews,
        payment_controls,
        invoices,
        receipts,
        statements,
        earnings,
        clearing,
        tax,
        tax_forms,
        law,
        payees,
        sandbox,
        process,
        proofs,
        bank_files,
        payments,
    )
)


def _operation_name(route: APIRoute) -> str:
    """Name the operation by its function, so that generated clients read well."""
    return route.name


@asynccontextmanager
async def _opened(app: FastAPI) -> AsyncIterator[None]:
    settings: Settings = app.state.settings
    keys = KeyRing.from_settings(settings)
    app.state.token_verifier = TokenVerifier(keys)
    app.state.token_signer = TokenSigner(keys, settings)
    # a Redis that hangs is one that is away: calls go on without it
    waits: dict[str, Any] = {"socket_timeout": REDIS_TIMEOUT_SECONDS, "socket_connect_timeout": REDIS_TIMEOUT_SECONDS}
    async with open_database(settings) as database, Redis.from_url(settings.redis_url, **waits) as redis:
        app.state.limiter = make_limiter(settings.redis_url, redis)
        app.state.resources = Resources(settings, database, redis, open_store(settings))
        try:
            with telemetry.metrics_server(settings):
                yield
        finally:
            await close_gateways()


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the API; `settings` default to the environment's."""
    settings = settings or get_settings()
    # A table that cannot be used stops the start; later it would stop the first payout or request that needs it.
    payout_rules(settings).tax_table()
    minimum_table(settings)
    configure_logging(settings)
    telemetry.configure(settings, "kapok-api")
    app = FastAPI(
        title=openapi.TITLE,
        summary=openapi.SUMMARY,
        description=openapi.DESCRIPTION,
        version="1",
        openapi_tags=openapi.TAGS,
        openapi_url="/v1/openapi.json",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_name,
        lifespan=_opened,
    )
    app.state.settings = settings
    errors.install(app)
    openapi.install(app)
    reference.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_bytes)
    app.add_middleware(Correlation)
    return app
