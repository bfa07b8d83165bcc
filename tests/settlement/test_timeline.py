"""A request's timeline ties each payment to the verdict that it was made for."""

from marketplace.core.ids import new_id
from marketplace.core.paging import PageQuery
from marketplace.settlement import accrual, release
from marketplace.settlement.timeline import TimelineOf, timeline
from tests.factories.money import committed
from tests.settlement.work import make_deal


async def test_timeline_names_the_verdict_when_a_claim_was_accrued_and_released(database):
    deal = await make_deal(database, contract={"unit_price": 35_000})
    other = await make_deal(database)
    claim = await deal.accepted(units=100)
    async with committed(database) as session:
        await accrual.accrue(session, deal.request.id, claim.id, 1)
    async with committed(database) as session:
        await release.release_due(session)
    async with database.sessions() as session:
        page = await timeline(session, TimelineOf.REQUEST, deal.request.id, PageQuery())
        nothing = await timeline(session, TimelineOf.REQUEST, new_id(), PageQuery())
        others = await timeline(session, TimelineOf.REQUEST, other.request.id, PageQuery())
    assert [entry.kind for entry in page.items] == ["fund", "accrue", "release"]
    assert all(sum(leg.amount_minor for leg in entry.legs) == 0 for entry in page.items)
    assert page.items[0].verdict is None
    assert [entry.verdict.evidence for entry in page.items[1:]] == [{"gates": []}] * 2
    assert [entry.facts["claim_id"] for entry in page.items[1:]] == [str(claim.id)] * 2
    assert (nothing.items, [entry.kind for entry in others.items]) == ([], ["fund"])
