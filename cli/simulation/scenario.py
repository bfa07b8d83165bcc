"""One seed's story: an enterprise pays in, a worker earns and is paid, the rest goes back; come what may."""

from datetime import timedelta
from random import Random
from typing import Final

from sqlalchemy import text
from sqlmodel import col, select

from cli.simulation.arithmetic import check_sums
from cli.simulation.checks import Cast, Findings, check
from cli.simulation.faults import Pair
from cli.simulation.world import BrokenError, World
from marketplace.core.actor import SYSTEM
from marketplace.core.ids import new_id
from marketplace.core.money import Money
from marketplace.ledger import accounts
from marketplace.ledger import queries as ledger_queries
from marketplace.ledger import service as ledger
from marketplace.ledger.entries import credit, debit
from marketplace.ledger.errors import InsufficientFunds
from marketplace.payments import payouts, topups
from marketplace.payments.errors import NothingToPayOut, SourceSpent
from marketplace.payments.models import Charge, Chargeback, Payee, Payout, ProviderCall, Refund
from marketplace.payments.payouts import Owner
from marketplace.payments.refunds import refund_to_source
from marketplace.payments.schemas import AskPayout, TopUp
from marketplace.payments.states import CallState, Leg, PayeeKind
from workers.session import run_command

CURRENCY: Final = "CNY"
MAX_STEPS: Final = 400
_AT_ONCE: Final = timedelta(seconds=5)  # of the simulated clock: a dispute lasts days
_EARLY_CHARGEBACK: Final = 0.3
_LATE_CHARGEBACK: Final = 0.3
_NAMES: Final = ("", "", "", "", "fail-payout", "return-payout", "return-payout", "no-kyc")
_ENDINGS: Final = (0, 0, 0, 0, 0, 0, 0, 4002, 4003, 4008, 4009)
_ENDS: Final[dict[tuple[str, str | None], Pair]] = {
    ("charge", "card_declined"): ("charge", "declined"),
    ("charge", "bank_refused"): ("charge", "failed_later"),
    ("payout", "payee_refused"): ("payee", "refused"),
    ("payout", "bank_refused"): ("payout", "bank_refused"),
    ("payout", "bank_returned"): ("payout", "returned_after_paid"),
    ("transfer", "balance_insufficient"): ("transfer", "balance_insufficient"),
    ("refund", "charge_disputed"): ("refund", "charge_disputed"),
    ("chargeback", "won"): ("chargeback", "won"),
    ("chargeback", "lost"): ("chargeback", "lost"),
}
_CHARGED: Final = text(
    """
    SELECT ref, amount_minor FROM sandbox_object o WHERE kind = 'charge' AND state = 'succeeded' AND due_at IS NULL
      AND ref = ANY(CAST(:refs AS text[]))
      AND NOT EXISTS (SELECT 1 FROM sandbox_object d WHERE d.parent_id = o.id AND d.kind IN ('dispute', 'refund'))
    ORDER BY id
    """
)


async def live(world: World, seed: int) -> Findings:
    """Live through a seed, let all come to rest, and say what is wrong."""
    rng = Random(seed)  # noqa: S311  # a simulation
    world.luck.rng, world.luck.calm = rng, False
    await world.forget_jobs()
    cast = Cast(new_id(), new_id())
    try:
        await _pay_in(world, cast, rng)
        await _restless(world, rng.randint(3, 8))
        if rng.random() < _EARLY_CHARGEBACK:
            await _charge_back(world, cast, rng)
        await _restless(world, rng.randint(1, 17))
        await _rest(world)
        world.luck.calm = False
        await _pay_out(world, cast, rng)
        if cast.earned_minor and rng.random() < _LATE_CHARGEBACK and await _charge_back(world, cast, rng):
            world.luck.coverage.hit("chargeback", "after_release")
        await _restless(world, rng.randint(10, 60))
        await _rest(world)
    except BrokenError as broken:
        return Findings(problems=[str(broken)])
    except Exception as error:  # noqa: BLE001  # whatever a job raises for good would be a dead letter
        return Findings(problems=[f"a job failed for good: {error!r}"])
    finally:
        world.luck.late.clear()
    await _note_ends(world, cast)
    async with world.shared.database.sessions() as session:
        found = await check(session, cast)
    return found.and_those(check_sums(rng))


async def _pay_in(world: World, cast: Cast, rng: Random) -> None:
    for _ in range(rng.randint(1, 2)):
        await _top_up(world, cast, rng.randint(2, 90) * 10_000 + rng.choice(_ENDINGS))


async def _top_up(world: World, cast: Cast, amount_minor: int) -> None:
    command = TopUp(amount_minor=amount_minor, currency=CURRENCY)
    charge = await run_command(
        world.shared.database,
        lambda session: topups.top_up(session, SYSTEM, world.gateway, cast.organisation_id, command),
    )
    cast.charges.append(charge.id)


async def _charge_back(world: World, cast: Cast, rng: Random) -> bool:
    """Let a payer's bank take back a charge that has none of it taken yet, or a part; return whether there was one."""
    async with world.shared.database.sessions() as session:
        found = await session.execute(_CHARGED, {"refs": [row.hex for row in cast.charges]})
        charges = [(ref, int(minor)) for ref, minor in found]
    if not charges:
        return False
    ref, minor = rng.choice(charges)
    taken = minor if rng.random() < 0.5 else rng.randint(1, minor)
    await world.gateway.dispute(ref, Money(taken, CURRENCY), won=rng.random() < 0.5)
    return True


async def _pay_out(world: World, cast: Cast, rng: Random) -> None:
    """Let the worker earn a part of what came in and ask for it, in one payout or two; give some of the rest back."""
    database = world.shared.database
    async with database.sessions() as session:
        held = await ledger_queries.balance(session, accounts.org_cash(cast.organisation_id), CURRENCY)
    if held < 2:
        return
    cast.earned_minor = rng.randint(1, held // 2)
    legs = [
        debit(accounts.org_cash(cast.organisation_id), cast.earned_minor),
        credit(accounts.worker(cast.worker_id), cast.earned_minor),
    ]
    await run_command(
        database, lambda session: ledger.post(session, f"earn:{cast.worker_id}", "release", legs, CURRENCY)
    )
    owner = Owner(PayeeKind.WORKER, cast.worker_id, f"韦小木 {rng.choice(_NAMES)}")
    parts = [rng.randint(1, cast.earned_minor), None] if rng.random() < 0.5 else [None]
    for part in parts:
        await _ask(world, owner, part)
    rest = (held - cast.earned_minor) // 2
    if rest and rng.random() < 0.7:
        await _give_back(world, cast, rest)
    async with database.sessions() as session:
        payees = await session.exec(select(Payee.id).where(Payee.owner_id == cast.worker_id))
        cast.payees = list(payees.all())
        paid = await session.exec(select(Payout.id).where(col(Payout.payee_id).in_(cast.payees)))
        cast.payouts = list(paid.all())
        given_back = await session.exec(select(Refund.id).where(Refund.organisation_id == cast.organisation_id))
        cast.refunds = list(given_back.all())


async def _give_back(world: World, cast: Cast, amount_minor: int) -> None:
    cause = f"close:{cast.organisation_id}"
    try:
        await run_command(
            world.shared.database,
            lambda session: refund_to_source(
                session, SYSTEM, cast.organisation_id, amount_minor, CURRENCY, cause=cause
            ),
        )
    except SourceSpent:
        return  # the charges that are left were taken back


async def _ask(world: World, owner: Owner, amount_minor: int | None) -> None:
    command = AskPayout(amount_minor=amount_minor, currency=CURRENCY)
    try:
        await run_command(
            world.shared.database,
            lambda session: payouts.ask_payout(session, SYSTEM, world.gateway, owner, command),
        )
    except (NothingToPayOut, InsufficientFunds):
        return  # the first payout took all


async def _restless(world: World, steps: int) -> None:
    """Run jobs with bad luck."""
    for _ in range(steps):
        waiting = await world.waiting()
        if not waiting:
            return
        await world.step(waiting)
        if world.luck.rng.random() < 0.05:
            await world.fill_gaps()


async def _rest(world: World) -> None:
    """Let everything end well: no more bad luck, lost webhooks fetched, until nothing is left to do."""
    world.luck.calm = True
    await world.gateway.arrive()
    for _ in range(MAX_STEPS):
        waiting = await world.waiting()
        if waiting:
            await world.step(waiting)
            continue
        await world.fill_gaps()
        if not await world.waiting():
            return
    kinds = sorted({job.kind for job in await world.waiting()})
    raise BrokenError(f"it does not come to rest; still waiting: {', '.join(kinds)}")


async def _note_ends(world: World, cast: Cast) -> None:
    """Count how things ended; some ends are faults too."""
    refused = select(ProviderCall.error).where(
        col(ProviderCall.subject_id).in_(cast.payouts),
        ProviderCall.leg == Leg.TRANSFER,
        ProviderCall.state == CallState.REJECTED,
    )
    async with world.shared.database.sessions() as session:
        charges = await session.exec(select(Charge.failure_code).where(col(Charge.id).in_(cast.charges)))
        paid = await session.exec(select(Payout.failure_code).where(col(Payout.id).in_(cast.payouts)))
        ends = [("charge", code) for code in charges] + [("payout", code) for code in paid]
        ends += [("transfer", code) for code in await session.exec(refused)]
        refunds = await session.exec(select(Refund.failure_code).where(col(Refund.id).in_(cast.refunds)))
        ends += [("refund", code) for code in refunds]
        for row in await session.exec(select(Chargeback).where(col(Chargeback.charge_id).in_(cast.charges))):
            ends.append(("chargeback", row.state.value))
            if row.uncovered_minor:
                world.luck.coverage.hit("chargeback", "not_all_frozen")
            if row.changed_at - row.created_at < _AT_ONCE:
                world.luck.coverage.hit("chargeback", "first_heard_of_when_over")
    for end in ends:
        if end in _ENDS:
            world.luck.coverage.hit(*_ENDS[end])
