"""Pure rules of identity: who may hold, give and use what; what an identifier and a password must look like."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Final

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from marketplace.core.actor import OrganisationKind, Role, Scope
from marketplace.core.errors import FieldProblem
from marketplace.identity.errors import (
    IdentifierInvalid,
    PasswordWeak,
    RegionOutsideCountry,
    RoleNotGrantable,
    RoleNotOfKind,
)

INVITATION_LIFETIME: Final = timedelta(days=14)
# used-up refresh tokens are kept this long past their end, so that a late reuse is still seen as one
REFRESH_TOKEN_AFTERLIFE: Final = timedelta(days=7)
# NIST SP 800-63B-4 §3.1.1.2: at least 8 characters, at least 64 allowed; length counts, not the mix of characters
PASSWORD_MIN_LENGTH: Final = 10
PASSWORD_MAX_LENGTH: Final = 256
PASSWORD_MIN_DISTINCT: Final = 5
# a shorter part of a name turns up in good passwords by chance
PASSWORD_MIN_HINT: Final = 3

_MARKET_ROLES: Final = frozenset({Role.OWNER, Role.MANAGER, Role.REVIEWER, Role.FINANCE})
_OPERATOR_ROLES: Final = frozenset(
    {Role.VETTING_OFFICER, Role.QUALITY_ASSESSOR, Role.ARBITRATOR, Role.OPERATOR_FINANCE, Role.ADMIN}
)
ROLES_OF_KIND: Final[Mapping[OrganisationKind, frozenset[Role]]] = {
    OrganisationKind.ENTERPRISE: _MARKET_ROLES,
    OrganisationKind.VENDOR: _MARKET_ROLES | {Role.WORKER},
    OrganisationKind.OPERATOR: _OPERATOR_ROLES,
}
# the role of each kind that may do everything there, and of which one member must always remain
HEAD_OF_KIND: Final[Mapping[OrganisationKind, Role]] = {
    OrganisationKind.ENTERPRISE: Role.OWNER,
    OrganisationKind.VENDOR: Role.OWNER,
    OrganisationKind.OPERATOR: Role.ADMIN,
}
_GRANTS: Final[Mapping[Role, frozenset[Role]]] = {
    Role.OWNER: _MARKET_ROLES | {Role.WORKER},
    Role.MANAGER: frozenset({Role.REVIEWER, Role.WORKER}),
    Role.ADMIN: _OPERATOR_ROLES,
}

_READING: Final = frozenset({Scope.PROFILE, Scope.REQUESTS_READ})
_SCOPES_OF_ROLE: Final[Mapping[OrganisationKind, Mapping[Role, frozenset[Scope]]]] = {
    OrganisationKind.ENTERPRISE: {
        Role.OWNER: _READING
        | {Scope.ORGANISATION, Scope.REQUESTS_WRITE, Scope.QUALITY, Scope.MONEY_READ, Scope.MONEY_WRITE},
        Role.MANAGER: _READING | {Scope.ORGANISATION, Scope.REQUESTS_WRITE, Scope.QUALITY, Scope.MONEY_READ},
        Role.REVIEWER: _READING | {Scope.QUALITY},
        Role.FINANCE: _READING | {Scope.MONEY_READ, Scope.MONEY_WRITE},
    },
    OrganisationKind.VENDOR: {
        Role.OWNER: _READING | {Scope.ORGANISATION, Scope.BIDS, Scope.QUALITY, Scope.MONEY_READ, Scope.MONEY_WRITE},
        Role.MANAGER: _READING | {Scope.ORGANISATION, Scope.BIDS, Scope.QUALITY, Scope.MONEY_READ},
        Role.REVIEWER: _READING | {Scope.QUALITY},
        Role.FINANCE: _READING | {Scope.MONEY_READ, Scope.MONEY_WRITE},
    },
    OrganisationKind.OPERATOR: {
        Role.VETTING_OFFICER: _READING | {Scope.OPERATE, Scope.VETTING},
        Role.QUALITY_ASSESSOR: _READING | {Scope.OPERATE, Scope.QUALITY},
        Role.ARBITRATOR: _READING | {Scope.OPERATE, Scope.QUALITY},
        Role.OPERATOR_FINANCE: _READING | {Scope.OPERATE, Scope.MONEY_READ, Scope.MONEY_WRITE},
        Role.ADMIN: _READING
        | {Scope.ORGANISATION, Scope.OPERATE, Scope.VETTING, Scope.QUALITY, Scope.MONEY_READ, Scope.MONEY_WRITE},
    },
}
# a person without an organisation works for themselves; the money is their own payouts
PERSONAL_ROLES: Final = frozenset({Role.WORKER})
PERSONAL_SCOPES: Final = frozenset({Scope.PROFILE, Scope.WORK, Scope.MONEY_READ, Scope.MONEY_WRITE})
API_KEY_SCOPES: Final = frozenset(
    {Scope.REQUESTS_READ, Scope.REQUESTS_WRITE, Scope.QUALITY, Scope.MONEY_READ, Scope.MONEY_WRITE}
)


def scopes_of(kind: OrganisationKind, roles: Iterable[Role]) -> frozenset[Scope]:
    """Return what a member with these roles may do in an organisation of this kind."""
    table = _SCOPES_OF_ROLE[kind]
    return frozenset().union(*(table.get(role, frozenset()) for role in roles))


def roles_of_key(scopes: Iterable[Scope]) -> frozenset[Role]:
    """Return the roles an API key acts with: a manager's, and finance's when it may move money; never an owner's."""
    return frozenset({Role.MANAGER, Role.FINANCE} if Scope.MONEY_WRITE in set(scopes) else {Role.MANAGER})


def check_grant(kind: OrganisationKind, giver: Iterable[Role], role: Role) -> None:
    """Refuse to give or take a role that the kind does not have, or that the giver's roles do not govern.

    Raises:
        RoleNotOfKind: an enterprise has no workers, only the operator has officers.
        RoleNotGrantable: a manager makes no managers.
    """
    if role not in ROLES_OF_KIND[kind]:
        raise RoleNotOfKind(f"The kind {kind!s} has no {role!s}.", fields=[FieldProblem("role", "choose another")])
    if not any(role in _GRANTS.get(held, frozenset()) for held in giver):
        raise RoleNotGrantable(f"Your role does not govern the role {role!s}.")


def needs_code(role: Role) -> bool:
    """Return whether an invitation to this role needs the secret code besides the matching address.

    Addresses are not proven by a message, so a role with rights over the organisation asks for more than the address;
    a worker gets no rights over the vendor, and is vetted in person.
    """
    return role is not Role.WORKER


def _email(text: str) -> str:
    try:
        return validate_email(text, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise IdentifierInvalid(str(error), fields=[FieldProblem("identifier", str(error))]) from error


def _phone(text: str) -> str:
    problem = FieldProblem("identifier", "write the number with its country: +86 138 0000 0000")
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException as error:
        raise IdentifierInvalid(fields=[problem]) from error
    if not phonenumbers.is_possible_number(number):
        raise IdentifierInvalid(fields=[problem])
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def normalise_identifier(text: str) -> str:
    """Return an e-mail address in lower case or a phone number in E.164, as they are stored; or `IdentifierInvalid`."""
    text = text.strip()
    return _email(text) if "@" in text else _phone(text)


def check_region(country: str, region: str | None) -> None:
    """Refuse a region of another country with `RegionOutsideCountry`."""
    if region is not None and not region.startswith(f"{country}-"):
        raise RegionOutsideCountry(fields=[FieldProblem("region", f"begin with {country}-")])


def check_password(password: str, *hints: str) -> None:
    """Refuse a password that is short, repeats a few characters, or is built on the person's own name or address.

    Raises:
        PasswordWeak: with the reason.
    """
    reason = ""
    if not PASSWORD_MIN_LENGTH <= len(password) <= PASSWORD_MAX_LENGTH:
        reason = f"use {PASSWORD_MIN_LENGTH} to {PASSWORD_MAX_LENGTH} characters"
    elif len(set(password)) < PASSWORD_MIN_DISTINCT:
        reason = "use more different characters"
    elif any(len(hint) >= PASSWORD_MIN_HINT and hint.lower() in password.lower() for hint in hints):
        reason = "do not use your own name or address"
    if reason:
        raise PasswordWeak(reason, fields=[FieldProblem("password", reason)])
