"""What the OpenAPI document says beside the routes themselves, and how it is exported."""

from typing import Any, Final

from fastapi import FastAPI

from api.errors import Problem

TITLE: Final = "Kapok (木棉)"
SUMMARY: Final = "The open marketplace for data annotation"
DESCRIPTION: Final = """
Enterprises post **dataset requests**, vetted **vendors** bid on them, **workers** claim **bundles** of tasks and label
them, **gates** decide what is accepted, and a double-entry **ledger** pays everyone once, and only for what passed.

The tags below follow the way of a request. Four rules hold everywhere:

- **Sign in** at `POST /v1/auth/sign-in` and send `Authorization: Bearer …`; an enterprise may use an API key instead.
- **Errors** are RFC 9457 problems (`application/problem+json`) with a stable `code`, `fields` say what to mend.
- **Lists** are keyset pages: pass `next_cursor` of the page before as `cursor`.
- **Whatever moves work or money** takes an `Idempotency-Key` of your own making; repeating the call is then safe.

Prices of one answer are integers at a scale of 10⁻⁴ minor units (35000 with CNY is 3.5 fen); amounts are minor units.
"""
TAGS: Final = [
    {"name": "Sign in", "description": "Sign-up, sign-in, refresh and sign-out; the keys that verify tokens."},
    {"name": "Organisations", "description": "You, your organisation, its members and API keys."},
    {"name": "Vetting", "description": "Vendors and workers apply with papers; the operator decides, with a reason."},
    {"name": "Dataset requests", "description": "Draft, describe, fund and publish what you want labeled."},
    {"name": "Data", "description": "Resumable uploads, imports with row errors, and signed addresses of files."},
    {"name": "Bids and award", "description": "Sealed bids until the deadline, then scores, reasons and contracts."},
    {"name": "Work", "description": "The feed, claims, drafts and submissions of a worker."},
    {"name": "Quality", "description": "Verdicts, appeals, consensus, the quality report and samples."},
    {"name": "Delivery", "description": "Accept or dispute, and export."},
    {"name": "Progress", "description": "How a request goes, at once or live."},
    {"name": "Money", "description": "Top-ups, funding, earnings, payouts and statements."},
    {"name": "Tax", "description": "Months that are filed, tax that came back later, and payees' tax forms."},
    {"name": "Law", "description": "What law asks the operator to set, and pay below a region's minimum."},
    {"name": "Webhooks", "description": "What payment providers call."},
    {"name": "Health", "description": "For load balancers and supervisors."},
]


def install(app: FastAPI) -> None:
    """Say on every operation that it may answer with a problem."""
    original = app.openapi

    def documented() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = original()
            schema["components"]["schemas"]["Problem"] = Problem.model_json_schema(
                ref_template="#/components/schemas/{model}"
            )
            definitions = schema["components"]["schemas"]["Problem"].pop("$defs", {})
            schema["components"]["schemas"].update(definitions)
            problem = {
                "description": "A problem; `code` says which.",
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            }
            for path in schema["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
                    operation["responses"]["default"] = problem
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = documented  # type: ignore[method-assign]  # FastAPI's documented way to extend the schema
