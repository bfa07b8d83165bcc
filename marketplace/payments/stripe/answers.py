"""What an error of Stripe means for a call: refused, unknown, wait, or set up wrongly. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from marketplace.payments.errors import Misconfigured, Rejected, Throttled, Unknown

_WAIT: Final = timedelta(seconds=1)
_LONGEST_WAIT: Final = timedelta(minutes=5)
# Other words of Stripe for what the saga knows as a passing lack of money.
_SAME_AS: Final = {"insufficient_funds": "balance_insufficient", "insufficient_balance": "balance_insufficient"}


@dataclass(frozen=True, slots=True)
class Problem:
    """An error of the SDK without the SDK: the HTTP status (None: no answer came), Stripe's code, and a sentence."""

    status: int | None
    code: str | None
    detail: str
    same_key_other_request: bool = False
    retry_after: str | None = None


def meaning(problem: Problem) -> Rejected | Unknown | Throttled | Misconfigured:
    """Return the error to raise.

    A 409 says that the first call with this key is still at work: the same key is tried again, which is safe. After a
    5xx the call is over, for its key repeats that answer; whether it had its effect must be looked up.
    """
    status = problem.status
    if status is None or status < 400:
        return Unknown(problem.detail)
    if status >= 500:
        return Unknown(problem.detail, answered=True)
    if status in {409, 429}:
        return Throttled(_wait(problem.retry_after))
    if status in {401, 403} or problem.same_key_other_request:
        return Misconfigured(problem.detail)
    code = problem.code or f"http_{status}"
    return Rejected(_SAME_AS.get(code, code), problem.detail)


def header(headers: Mapping[str, str] | None, name: str) -> str | None:
    """Return a header's value, whatever the case of its name."""
    found = [value for key, value in (headers or {}).items() if key.lower() == name]
    return found[0] if found else None


def _wait(retry_after: str | None) -> timedelta:
    if retry_after is None or not (retry_after.isascii() and retry_after.isdigit()):
        return _WAIT
    return min(max(timedelta(seconds=int(retry_after)), _WAIT), _LONGEST_WAIT)
