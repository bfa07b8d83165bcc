"""The `Idempotency-Key` header, for every POST that moves work or money."""

from typing import Annotated

from fastapi import Depends, Header, Request

from api.auth import CurrentActor
from api.session import Session
from marketplace.core.errors import FieldProblem
from marketplace.core.idempotency import MAX_KEY_LENGTH, IdempotencyKeyMissing, Once, fingerprint


async def _once(
    request: Request,
    session: Session,
    actor: CurrentActor,
    idempotency_key: Annotated[
        str | None,
        Header(max_length=MAX_KEY_LENGTH, description="Your own key for this act; repeat it to repeat the call safely"),
    ] = None,
) -> Once:
    if not idempotency_key:
        raise IdempotencyKeyMissing(fields=[FieldProblem("Idempotency-Key", "the header is missing")])
    asked = fingerprint(request.method, request.url.path, await request.body())
    return Once(session, actor.principal, idempotency_key, asked)


OnceOnly = Annotated[Once, Depends(_once)]
