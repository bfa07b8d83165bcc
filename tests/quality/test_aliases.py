"""Pseudonyms: stable, apart from one another, and of no use to who knows a worker's id but not the secret."""

import hashlib
from uuid import UUID

import pytest

from marketplace.core.settings import get_settings
from marketplace.quality.aliases import reviewer_alias, worker_alias

REQUEST, OTHER, PERSON = UUID(int=1), UUID(int=2), UUID(int=3)


def names_under(secret: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("SECRET_KEY", secret)
    get_settings.cache_clear()
    made = [worker_alias(REQUEST, PERSON), worker_alias(OTHER, PERSON), reviewer_alias(REQUEST, PERSON)]
    monkeypatch.undo()
    get_settings.cache_clear()
    return made


def test_name_follows_request_and_secret_when_the_id_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again, other = (names_under(secret, monkeypatch) for secret in ("one", "one", "two"))
    assert first == again
    assert not set(first) & set(other)
    assert first[0] != first[1]
    guess = hashlib.sha256(REQUEST.bytes + PERSON.bytes).hexdigest()
    assert not any(guess.startswith(name[1:]) for name in first + other)


def test_name_is_stable_when_there_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    assert names_under("", monkeypatch) == names_under("", monkeypatch)
