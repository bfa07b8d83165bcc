"""Going through Stripe's lists, which come in pages, newest first. Knows the shape of the SDK's lists, not the SDK."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from marketplace.payments.stripe.objects import ref_of

_PAGE: Final = 100


async def pages(
    lister: Callable[..., Any], asked: Mapping[str, Any] | None = None, options: Mapping[str, Any] | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Yield all of a list, page after page, as plain dicts."""
    page = await lister({"limit": _PAGE, **(asked or {})}, dict(options or {}))
    async for thing in page.auto_paging_iter():
        yield thing.to_dict()


async def oldest(
    lister: Callable[..., Any], ref: str, options: Mapping[str, Any] | None = None, **filters: Any
) -> dict[str, Any] | None:
    """Return the oldest object of a list with our reference; filters without a value are left out."""
    found = None
    async for thing in pages(lister, {name: value for name, value in filters.items() if value}, options):
        if ref_of(thing) == ref:
            found = thing
    return found
