"""Views of earnings. Amounts are integers in minor units of the currency."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from marketplace.core.paging import Page
from marketplace.payments.states import PayoutState
from marketplace.quality.states import Outcome, ReasonCode
from marketplace.settlement.schemas import EarningsView
from marketplace.settlement.states import AccrualState


class EarningLine(BaseModel):
    """One thing that was earned, given or taken: `kind` is `work` for an accepted bundle, else how the ledger calls it.

    `amount_minor` is the payee's own part; of a bundle, `work_minor` is the whole and `fee_minor` the platform's part.
    `release_at` is when the dispute window ends; while `held` it is not released then, as the request is suspended or
    its delivery disputed. `payout_id` is the payout that took the last of it. `per_hour_minor` is the payee's part for
    an hour of the time that the claim was worked on, where that was measured.
    """

    id: UUID
    kind: str
    currency: str
    amount_minor: int
    booked_at: datetime
    request_id: UUID | None
    request_title: str | None
    claim_id: UUID | None
    bundle_id: UUID | None
    revision: int | None
    worker_id: UUID | None
    units: int | None
    work_minor: int | None
    fee_minor: int | None
    state: AccrualState | None
    outcome: Outcome | None
    reason_code: ReasonCode | None
    release_at: datetime | None
    released_at: datetime | None
    taken_back_at: datetime | None
    held: bool
    payout_id: UUID | None
    payout_state: PayoutState | None
    paid_at: datetime | None
    active_seconds: float | None
    per_hour_minor: int | None


class EarningsPage(Page[EarningLine]):
    """A page of earnings; `totals` are of all of them, one line a currency."""

    totals: list[EarningsView]
