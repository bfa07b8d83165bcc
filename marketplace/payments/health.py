"""How the payment providers do, as the operator sees it."""

from sqlmodel import col, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

from marketplace.payments import breaker, pauses
from marketplace.payments.control_schemas import PauseView, ProviderHealth
from marketplace.payments.control_states import CircuitState, PauseScope
from marketplace.payments.models import Payout, ProviderCall
from marketplace.payments.queries import providers_in_use
from marketplace.payments.states import OPEN_CALLS, CallState, PayoutState


async def of_providers(session: AsyncSession, current: list[str]) -> list[ProviderHealth]:
    """Return how every provider in use does, by name."""
    return [await _of(session, provider) for provider in await providers_in_use(session, current)]


async def _of(session: AsyncSession, provider: str) -> ProviderHealth:
    row = await breaker.row_of(session, provider)
    calls = await session.exec(
        select(ProviderCall.state, func.count(), func.min(col(ProviderCall.created_at)))
        .where(ProviderCall.provider == provider, col(ProviderCall.state).in_(OPEN_CALLS))
        .group_by(col(ProviderCall.state))
    )
    counted = {state: (count, oldest) for state, count, oldest in calls}
    waiting = await session.exec(
        select(func.count()).where(Payout.provider == provider, Payout.state == PayoutState.RESERVED)
    )
    pause = await pauses.standing_on(session, PauseScope.PROVIDER, provider)
    return ProviderHealth(
        provider=provider,
        circuit=row.state if row else CircuitState.CLOSED,
        failures=row.failures if row else 0,
        opened_at=row.opened_at if row else None,
        retry_at=row.retry_at if row else None,
        last_error=row.last_error if row else None,
        calls_sending=counted.get(CallState.SENDING, (0, None))[0],
        calls_unknown=counted.get(CallState.UNKNOWN, (0, None))[0],
        oldest_open_call_at=min((oldest for _, oldest in counted.values() if oldest), default=None),
        waiting_payouts=waiting.one(),
        pause=PauseView.model_validate(pause) if pause else None,
    )
