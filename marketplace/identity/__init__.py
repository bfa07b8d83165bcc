"""People, the organisations they belong to, and how both prove who they are.

Owns: people, organisations, memberships, invitations, refresh tokens, API keys. Promises: every call gets an `Actor`;
a role exists only in the kinds of organisation it belongs to; what belongs to another tenant is not found; a stolen
refresh token is worth one use. Needs: core, audit.
"""
