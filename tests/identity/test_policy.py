"""The tables of roles and scopes, identifiers and passwords."""

import pytest

from marketplace.core.actor import OrganisationKind, Role, Scope
from marketplace.identity import policy
from marketplace.identity.errors import IdentifierInvalid, PasswordWeak, RoleNotGrantable, RoleNotOfKind

MARKET = {Role.OWNER, Role.MANAGER, Role.REVIEWER, Role.FINANCE}
EVERY_ROLE_OF_KIND = [(kind, role) for kind, roles in policy.ROLES_OF_KIND.items() for role in sorted(roles)]


@pytest.mark.parametrize(("kind", "role"), EVERY_ROLE_OF_KIND)
def test_every_role_has_scopes_when_it_is_a_role_of_context(kind: OrganisationKind, role: Role) -> None:
    scopes = policy.scopes_of(kind, {role})
    assert (Scope.PROFILE in scopes) == (role is not Role.WORKER)
    assert Scope.WORK not in scopes, "who acts for an organisation does not label (rule 7)"


@pytest.mark.parametrize("kind", [OrganisationKind.ENTERPRISE, OrganisationKind.VENDOR])
def test_the_operators_scopes_are_not_given_when_the_kind_is_of_the_market(kind: OrganisationKind) -> None:
    assert not policy.scopes_of(kind, set(Role)) & {Scope.OPERATE, Scope.VETTING}


def test_roles_of_another_kind_give_nothing_when_held_anyway() -> None:
    assert policy.scopes_of(OrganisationKind.ENTERPRISE, {Role.ADMIN}) == frozenset()


@pytest.mark.parametrize("kind", list(OrganisationKind))
@pytest.mark.parametrize("role", list(Role))
def test_the_head_grants_exactly_the_roles_of_its_kind(kind: OrganisationKind, role: Role) -> None:
    head = {policy.HEAD_OF_KIND[kind]}
    if role in policy.ROLES_OF_KIND[kind]:
        policy.check_grant(kind, head, role)
    else:
        with pytest.raises(RoleNotOfKind):
            policy.check_grant(kind, head, role)


@pytest.mark.parametrize("giver", [Role.MANAGER, Role.REVIEWER, Role.FINANCE])
@pytest.mark.parametrize("role", sorted(MARKET | {Role.WORKER}))
def test_only_a_manager_grants_reviewers_and_workers_when_not_the_owner(giver: Role, role: Role) -> None:
    if giver is Role.MANAGER and role in {Role.REVIEWER, Role.WORKER}:
        policy.check_grant(OrganisationKind.VENDOR, {giver}, role)
    else:
        with pytest.raises(RoleNotGrantable):
            policy.check_grant(OrganisationKind.VENDOR, {giver}, role)


def test_a_key_acts_as_finance_only_when_it_may_move_money() -> None:
    assert policy.roles_of_key({Scope.REQUESTS_READ}) == {Role.MANAGER}
    assert policy.roles_of_key({Scope.MONEY_WRITE}) == {Role.MANAGER, Role.FINANCE}
    assert Scope.ORGANISATION not in policy.API_KEY_SCOPES


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("  Wei.Xiaomu@Kapok.Example ", "wei.xiaomu@kapok.example"),
        ("+86 138 0013 8000", "+8613800138000"),
        ("+84 (91) 234-5678", "+84912345678"),
        ("木棉@例子.中国", "木棉@例子.中国"),
    ],
)
def test_an_identifier_is_stored_in_one_form_when_written_in_another(given: str, stored: str) -> None:
    assert policy.normalise_identifier(given) == stored


@pytest.mark.parametrize("given", ["", "someone", "13800138000", "+86 1", "a@", "@b.example", "a@b", "a b@c.example"])
def test_an_identifier_is_refused_when_it_is_neither_address_nor_number(given: str) -> None:
    with pytest.raises(IdentifierInvalid):
        policy.normalise_identifier(given)


@pytest.mark.parametrize(
    "password", ["short", "a" * 9, "aaaaaaaaaaaaaaa", "abababababab", "x" * 257, "xiaomu-2025-!", "my XIAOMU word"]
)
def test_a_password_is_refused_when_it_is_easy_to_guess(password: str) -> None:
    with pytest.raises(PasswordWeak):
        policy.check_password(password, "xiaomu")


@pytest.mark.parametrize("password", ["correct horse battery staple", "木棉花开了，山坡一片红", "a" * 40 + "bcdefgh"])
def test_a_password_is_accepted_when_it_is_long_and_varied(password: str) -> None:
    policy.check_password(password, "xiaomu", "")
