"""Checks a request against the SDK's own generated parameter types, strictly: an open enum is a closed one here."""

import importlib
import re
import sys
import types
from decimal import Decimal
from typing import Any, ForwardRef, Literal, NotRequired, Required, Union, get_args, get_origin
from urllib.parse import parse_qsl

from stripe._request_options import RequestOptions
from typing_extensions import is_typeddict

ROUTES: tuple[tuple[str, str, str, str], ...] = tuple(
    (method, f"^{path.replace('{id}', '([^/]+)')}$", action, params)
    for method, path, action, params in (
        ("POST", "/v1/payment_intents", "create_intent", "PaymentIntentCreateParams"),
        ("GET", "/v1/payment_intents", "list_intents", "PaymentIntentListParams"),
        ("GET", "/v1/payment_intents/{id}", "get", "PaymentIntentRetrieveParams"),
        ("POST", "/v1/payment_intents/{id}/confirm", "confirm_intent", "PaymentIntentConfirmParams"),
        ("POST", "/v1/payment_intents/{id}/cancel", "cancel_intent", "PaymentIntentCancelParams"),
        ("POST", "/v1/customers", "create_customer", "CustomerCreateParams"),
        ("GET", "/v1/customers/{id}", "get", "CustomerRetrieveParams"),
        ("POST", "/v1/transfers", "create_transfer", "TransferCreateParams"),
        ("GET", "/v1/transfers", "list_transfers", "TransferListParams"),
        ("GET", "/v1/transfers/{id}", "get", "TransferRetrieveParams"),
        ("POST", "/v1/transfers/{id}/reversals", "create_reversal", "TransferReversalCreateParams"),
        ("GET", "/v1/transfers/{id}/reversals", "list_reversals", "TransferReversalListParams"),
        ("POST", "/v1/payouts", "create_payout", "PayoutCreateParams"),
        ("GET", "/v1/payouts", "list_payouts", "PayoutListParams"),
        ("GET", "/v1/payouts/{id}", "get", "PayoutRetrieveParams"),
        ("POST", "/v1/refunds", "create_refund", "RefundCreateParams"),
        ("GET", "/v1/refunds", "list_refunds", "RefundListParams"),
        ("GET", "/v1/refunds/{id}", "get", "RefundRetrieveParams"),
        ("GET", "/v1/disputes", "list_disputes", "DisputeListParams"),
        ("GET", "/v1/disputes/{id}", "get", "DisputeRetrieveParams"),
        ("POST", "/v1/disputes/{id}/close", "close_dispute", "DisputeCloseParams"),
        ("GET", "/v1/balance", "balance", "BalanceRetrieveParams"),
        ("GET", "/v1/balance_transactions", "list_entries", "BalanceTransactionListParams"),
        ("POST", "/v1/balance_settings", "update_settings", "BalanceSettingsUpdateParams"),
        ("GET", "/v1/balance_settings", "settings", "BalanceSettingsRetrieveParams"),
        ("GET", "/v1/events", "list_events", "EventListParams"),
        ("GET", "/v1/events/{id}", "get_event", "EventRetrieveParams"),
        ("POST", "/v1/topups", "create_topup", "TopupCreateParams"),
        ("GET", "/v1/topups/{id}", "get", "TopupRetrieveParams"),
        ("POST", "/v2/core/accounts", "create_account", "v2.core.AccountCreateParams"),
        ("GET", "/v2/core/accounts", "list_accounts", "v2.core.AccountListParams"),
        ("POST", "/v2/core/accounts/{id}", "update_account", "v2.core.AccountUpdateParams"),
        ("GET", "/v2/core/accounts/{id}", "get", "v2.core.AccountRetrieveParams"),
        ("POST", "/v2/core/account_links", "create_account_link", "v2.core.AccountLinkCreateParams"),
        ("GET", "/v2/core/events", "list_thin_events", "v2.core.EventListParams"),
        ("GET", "/v2/core/events/{id}", "get_event", "v2.core.EventRetrieveParams"),
    )
)


def route(method: str, path: str) -> tuple[str, str | None, Any] | None:
    """Return the action, the id in the path and the type of the parameters; None for an unknown path."""
    for known, pattern, action, params in ROUTES:
        found = re.match(pattern, path) if known == method else None
        if found:
            *package, name = params.split(".")
            module = importlib.import_module(".".join(["stripe.params", *package]))
            return action, found.group(1) if found.groups() else None, getattr(module, name)
    return None


def decode_form(raw: str) -> dict[str, Any]:
    """Return a form's or a query's parameters as nested dicts; lists are dicts with the keys "0", "1", …"""
    out: dict[str, Any] = {}
    for name, value in parse_qsl(raw, keep_blank_values=True):
        keys = re.findall(r"[^\[\]]+", name)
        inner = out
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[str(len(inner)) if name.endswith("[]") else keys[-1]] = value
    return out


class Checker:
    """One check of one request: `check` returns the parameters with their types, `breaks` tells what is wrong."""

    def __init__(self, *, form: bool) -> None:
        self.form = form
        self.breaks: list[str] = []

    def check(self, hint: Any, value: Any, path: str = "", scope: dict[str, Any] | None = None) -> Any:
        """Return the value as the type says, or note a break and return it as it is."""
        hint, scope = _resolved(hint, scope or {})
        origin = get_origin(hint)
        if is_typeddict(hint):
            return self._typed_dict(hint, value, path)
        if origin in {Union, types.UnionType}:
            return self._union(get_args(hint), value, path, scope)
        if origin is list:
            return self._list(get_args(hint)[0], value, path, scope)
        if origin is dict:
            return self._hash(get_args(hint)[1], value, path, scope)
        return self._plain(hint, value, path)

    def _hash(self, item: Any, value: Any, path: str, scope: dict[str, Any]) -> Any:
        if not isinstance(value, dict):
            return self._wrong(path, "must be a hash", value)
        return {key: self.check(item, one, f"{path}[{key}]", scope) for key, one in value.items()}

    def _typed_dict(self, hint: Any, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            return self._wrong(path, "must be a hash", value)
        scope = vars(sys.modules[hint.__module__])
        options = RequestOptions.__annotations__ if issubclass_of_options(hint) else {}
        known = {name: one for name, one in hint.__annotations__.items() if name not in options}
        for name in sorted(set(hint.__required_keys__) - set(value) - set(options)):
            self._wrong(f"{path}.{name}", "is required", None)
        out = {}
        for name, one in value.items():
            inner = f"{path}.{name}"
            out[name] = (
                self.check(known[name], one, inner, scope) if name in known else self._wrong(inner, "is unknown", one)
            )
        return out

    def _union(self, options: tuple[Any, ...], value: Any, path: str, scope: dict[str, Any]) -> Any:
        parts = [_resolved(one, scope)[0] for one in options]
        enum = any(get_origin(one) is Literal and get_args(one) != ("",) for one in parts)
        parts = [one for one in parts if not (enum and one is str)]
        failed: list[list[str]] = []
        for one in parts:
            trial = Checker(form=self.form)
            out = trial.check(one, value, path, scope)
            if not trial.breaks:
                return out
            failed.append(trial.breaks)
        self.breaks += max(failed, key=lambda breaks: max(len(text.split(" ")[0]) for text in breaks))
        return value

    def _list(self, item: Any, value: Any, path: str, scope: dict[str, Any]) -> Any:
        if self.form and isinstance(value, dict) and all(key.isdigit() for key in value):
            value = [value[key] for key in sorted(value, key=int)]
        if not isinstance(value, list):
            return self._wrong(path, "must be a list", value)
        return [self.check(item, one, f"{path}[{index}]", scope) for index, one in enumerate(value)]

    def _plain(self, hint: Any, value: Any, path: str) -> Any:
        if hint is Any or (get_origin(hint) is Literal and value in get_args(hint)):
            return value
        if get_origin(hint) is Literal:
            return self._wrong(path, f"{value!r} is not allowed", value)
        if self.form and isinstance(value, str):
            if hint is int and re.fullmatch(r"-?\d+", value):
                return int(value)
            if hint is bool and value in {"true", "false"}:
                return value == "true"
            if hint in {float, Decimal} and re.fullmatch(r"-?\d+(\.\d+)?", value):
                return value
        wanted = str if hint in {Decimal, float} else hint
        fits = isinstance(wanted, type) and isinstance(value, wanted) and (hint is bool or not isinstance(value, bool))
        return value if fits else self._wrong(path, f"must be {getattr(hint, '__name__', hint)}", value)

    def _wrong(self, path: str, what: str, value: Any) -> Any:
        self.breaks.append(f"{path.lstrip('.')} {what}")
        return value


def issubclass_of_options(hint: Any) -> bool:
    """Say whether a type of parameters carries the options of a request, which are no parameters."""
    return RequestOptions in getattr(hint, "__orig_bases__", ())


def _resolved(hint: Any, scope: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    while True:
        if isinstance(hint, ForwardRef):
            hint = hint.__forward_arg__
        elif isinstance(hint, str):
            hint = eval(hint, dict(scope))
        elif get_origin(hint) in {NotRequired, Required}:
            hint = get_args(hint)[0]
        else:
            return hint, scope
