"""What can go wrong with people, organisations and their proofs."""

from marketplace.core.errors import Conflict, Forbidden, Gone, Invalid, NotFound, Unauthenticated


class IdentifierInvalid(Invalid):
    """This is neither an e-mail address nor a phone number in international form (+86 …)."""

    code = "identifier_invalid"


class IdentifierTaken(Conflict):
    """There is an account with this e-mail address or phone number already; sign in instead."""

    code = "identifier_taken"


class PasswordWeak(Invalid):
    """This password is too easy to guess."""

    code = "password_weak"


class SignInRefused(Unauthenticated):
    """The e-mail address, the phone number or the password is wrong."""

    code = "sign_in_refused"


class TokenInvalid(Unauthenticated):
    """This access token was not made by this Kapok."""

    code = "token_invalid"


class TokenExpired(Unauthenticated):
    """This access token has expired; refresh it."""

    code = "token_expired"


class RefreshTokenMissing(Unauthenticated):
    """There is no refresh token in the body or the cookie; sign in."""

    code = "refresh_token_missing"


class RefreshTokenInvalid(Unauthenticated):
    """This refresh token has ended; sign in."""

    code = "refresh_token_invalid"


class RefreshTokenReused(Unauthenticated):
    """This refresh token was used before, so it may be stolen: all of its family have ended; sign in."""

    code = "refresh_token_reused"


class ClientHeaderMissing(Forbidden):
    """A refresh by cookie needs the header `X-Kapok-Client`, which no other site's page can send."""

    code = "client_header_missing"


class ApiKeyInvalid(Unauthenticated):
    """This API key does not exist, has ended, or was revoked."""

    code = "api_key_invalid"


class ApiKeyUnknown(NotFound):
    """Your organisation has no such API key."""

    code = "api_key_unknown"


class PersonsOnly(Forbidden):
    """Only a signed-in person may do that, not an API key."""

    code = "persons_only"


class ScopeNotGrantable(Forbidden):
    """An API key may hold only scopes that its maker holds and that are open to keys."""

    code = "scope_not_grantable"


class OrganisationUnknown(NotFound):
    """There is no such organisation, or you do not belong to it."""

    code = "organisation_unknown"


class MemberUnknown(NotFound):
    """Your organisation has no such member."""

    code = "member_unknown"


class PersonUnknown(NotFound):
    """There is no such person."""

    code = "person_unknown"


class InvitationUnknown(NotFound):
    """There is no such invitation for you."""

    code = "invitation_unknown"


class InvitationExpired(Gone):
    """This invitation has expired; ask for another."""

    code = "invitation_expired"


class InvitationCodeWrong(Forbidden):
    """This invitation gives rights over the organisation: it needs the code that its sender received."""

    code = "invitation_code_wrong"


class AlreadyMember(Conflict):
    """This person holds that role already."""

    code = "already_member"


class AlreadyInvited(Conflict):
    """An invitation to this person for this role is open already."""

    code = "already_invited"


class RoleNotOfKind(Invalid):
    """This role does not exist in this kind of organisation."""

    code = "role_not_of_kind"


class RoleNotGrantable(Forbidden):
    """Your role does not allow you to give or take that role."""

    code = "role_not_grantable"


class LastOwner(Conflict):
    """An organisation always keeps one member who may do everything; make another one first."""

    code = "last_owner"


class OperatorExists(Conflict):
    """This Kapok has an operator already."""

    code = "operator_exists"


class RegionOutsideCountry(Invalid):
    """The region (ISO 3166-2) does not lie in the country."""

    code = "region_outside_country"


class KindNotFounded(Forbidden):
    """A person may found an enterprise or a vendor; the operator is made by the one who runs this Kapok."""

    code = "kind_not_founded"
