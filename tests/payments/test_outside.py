"""Rule 8: no transaction of ours is open while a provider answers."""

from sqlmodel import select

from marketplace.core.ids import new_id
from marketplace.payments import saga
from marketplace.payments.models import ProviderCall
from marketplace.payments.states import CallState
from tests.factories.money import ask_top_up, row_of
from tests.jobs import run_outbox


class Watching:
    """A gateway that looks, at each call, whether the session that waits for it holds a transaction."""

    def __init__(self, gateway, session):
        self.gateway, self.session, self.seen = gateway, session, []

    def __getattr__(self, name):
        called = getattr(self.gateway, name)
        if name == "capabilities":
            return called

        async def watched(*given, **named):
            self.seen.append((name, self.session.in_transaction()))
            return await called(*given, **named)

        return watched


async def test_no_transaction_is_open_when_a_call_is_made_or_looked_up(database, gateway, worker_resources):
    await ask_top_up(database, gateway, new_id(), 700)
    await run_outbox(worker_resources, only="payments.advance")
    async with database.sessions() as session:
        call_id = (await session.exec(select(ProviderCall.id))).one()
        await session.rollback()
        watching = Watching(gateway, session)
        await saga.send(session, watching, call_id)
        await session.commit()
        call = await session.get_one(ProviderCall, call_id)
        assert call.state is CallState.DONE
        call.state, call.finished_at = CallState.UNKNOWN, None
        await session.commit()
        await saga.resolve(session, watching, call_id)
        await session.commit()
    assert watching.seen == [("create_charge", False), ("find", False)]
    assert (await row_of(database, ProviderCall, call_id)).state is CallState.DONE
