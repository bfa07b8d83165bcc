"""States of organisations, memberships and invitations, and the steps between them."""

from enum import StrEnum
from typing import Final

from marketplace.core.states import Transitions


class OrganisationState(StrEnum):
    """Whether an organisation may act."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class MembershipState(StrEnum):
    """Whether a person holds the role now; an ended membership is kept for the trail and may be taken up again."""

    ACTIVE = "active"
    ENDED = "ended"


class InvitationState(StrEnum):
    """What became of an invitation."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    REVOKED = "revoked"


ORGANISATION_STEPS: Final[Transitions[OrganisationState]] = {
    OrganisationState.ACTIVE: frozenset({OrganisationState.SUSPENDED}),
    OrganisationState.SUSPENDED: frozenset({OrganisationState.ACTIVE}),
}
MEMBERSHIP_STEPS: Final[Transitions[MembershipState]] = {
    MembershipState.ACTIVE: frozenset({MembershipState.ENDED}),
    MembershipState.ENDED: frozenset({MembershipState.ACTIVE}),
}
INVITATION_STEPS: Final[Transitions[InvitationState]] = {
    InvitationState.OPEN: frozenset({InvitationState.ACCEPTED, InvitationState.DECLINED, InvitationState.REVOKED}),
    InvitationState.ACCEPTED: frozenset(),
    InvitationState.DECLINED: frozenset(),
    InvitationState.REVOKED: frozenset(),
}
