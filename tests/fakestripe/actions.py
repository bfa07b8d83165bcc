"""What each endpoint does. An action takes the parameters, the account that the call is for, and the id in the path."""

from datetime import datetime
from typing import Any

from tests.fakestripe.world import DAY, PLATFORM, Refused, World

Params = dict[str, Any]
EVIDENCE_SECONDS = 10 * DAY
FINAL_PAYOUT = {"failed", "canceled"}
CAPABILITY_CHANGED = "v2.core.account[configuration.recipient].capability_status_updated"
THREE_D_SECURE = "pm_card_threeDSecure2Required"
_PAGE = "https://pay.stripe.test"
NEXT_ACTIONS: dict[str, dict[str, Any]] = {
    "alipay": {"type": "alipay_handle_redirect", "alipay_handle_redirect": {"url": f"{_PAGE}/alipay"}},
    "wechat_pay": {
        "type": "wechat_pay_display_qr_code",
        "wechat_pay_display_qr_code": {
            "data": "weixin://wxpay/bizpayurl?pr=fake", "hosted_instructions_url": f"{_PAGE}/wechat",
            "image_url_svg": f"{_PAGE}/wechat.svg",
        },
    },
    "card": {"type": "redirect_to_url", "redirect_to_url": {"url": f"{_PAGE}/3ds"}},
}  # fmt: skip


class Actions:
    """The endpoints on one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.failing: set[str] = set()
        self.fail_next_payouts = False

    def get(self, params: Params, account: str, object_id: str) -> Any:
        return self.world.get(object_id, PLATFORM if object_id.startswith("acct") else account)

    # payment intents

    def create_intent(self, params: Params, account: str, _: None) -> Any:
        _positive(params["amount"])
        intent = self.world.make(
            "pi", "payment_intent", account, amount=params["amount"], currency=params["currency"],
            status="requires_payment_method", metadata=params.get("metadata", {}), customer=params.get("customer"),
            transfer_group=params.get("transfer_group"), latest_charge=None, last_payment_error=None,
            cancellation_reason=None, amount_received=0, client_secret="pi_secret", next_action=None,
        )  # fmt: skip
        self.world.emit("payment_intent.created", intent)
        if params.get("confirm"):
            self.confirm_intent(params, account, intent["id"])
        return intent

    def confirm_intent(self, params: Params, account: str, object_id: str) -> Any:
        intent = self.world.get(object_id, account)
        if intent["status"] in {"succeeded", "canceled"}:
            raise Refused("payment_intent_unexpected_state", f"the PaymentIntent is {intent['status']}")
        method = params.get("payment_method")
        kind = "card" if method == THREE_D_SECURE else params.get("payment_method_data", {}).get("type")
        if kind in NEXT_ACTIONS:
            intent |= {"status": "requires_action", "next_action": NEXT_ACTIONS[kind]}
            self.world.emit("payment_intent.requires_action", intent)
            return intent
        if method is None:
            raise Refused("parameter_missing", "payment_method is missing")
        if "declined" in method.lower():
            intent["last_payment_error"] = {"code": "card_declined", "type": "card_error"}
            self.world.emit("payment_intent.payment_failed", intent)
            raise Refused("card_declined", "Your card was declined.", 402, "card_error")
        return self.pay_intent(object_id)

    def pay_intent(self, object_id: str) -> Any:
        """Let a payment happen, as it does when the payer has done what was asked."""
        world, intent, account = self.world, self.world.objects[object_id], self.world.owners[object_id]
        amount = intent["amount"]
        charge = world.make(
            "ch", "charge", account, amount=amount, amount_refunded=0, currency=intent["currency"], status="succeeded",
            payment_intent=object_id, metadata=intent["metadata"], transfer_group=intent["transfer_group"],
        )  # fmt: skip
        fee = (amount * world.fee_per_myriad + 5_000) // 10_000 + world.fee_fixed_minor
        entry = world.book(account, "charge", charge, amount, fee=fee, wait=world.pending_seconds)
        charge["balance_transaction"] = entry["id"]
        intent |= {
            "status": "succeeded", "latest_charge": charge["id"], "amount_received": amount, "next_action": None,
        }  # fmt: skip
        world.emit("payment_intent.succeeded", intent)
        return intent

    def cancel_intent(self, params: Params, account: str, object_id: str) -> Any:
        intent = self.world.get(object_id, account)
        if intent["status"] in {"succeeded", "canceled"}:
            raise Refused("payment_intent_unexpected_state", f"the PaymentIntent is {intent['status']}")
        intent |= {"status": "canceled", "cancellation_reason": params.get("cancellation_reason")}
        self.world.emit("payment_intent.canceled", intent)
        return intent

    def create_customer(self, params: Params, account: str, _: None) -> Any:
        kept = {name: params.get(name) for name in ("name", "email")}
        return self.world.make("cus", "customer", account, metadata=params.get("metadata", {}), **kept)

    # transfers

    def create_transfer(self, params: Params, account: str, _: None) -> Any:
        world, amount, currency = self.world, params.get("amount", 0), params["currency"]
        _positive(amount)
        payee = world.get(params["destination"], PLATFORM)
        if _transfers(payee)["status"] != "active":
            raise Refused("insufficient_capabilities_for_transfer", "the account may not receive transfers")
        wait = 0
        if source := params.get("source_transaction"):
            booked = world.get(source, account)["balance_transaction"]
            until = next(entry["available_on"] for _, entry in world.entries if entry["id"] == booked)
            wait = max(0, until - world.now())
        elif world.available(account, currency) < amount:
            raise Refused("balance_insufficient", "You have insufficient available funds in your Stripe account.")
        made = world.make(
            "tr", "transfer", account, amount=amount, amount_reversed=0, currency=currency, reversed=False,
            destination=payee["id"], transfer_group=params.get("transfer_group"), metadata=params.get("metadata", {}),
            source_transaction=params.get("source_transaction"),
        )  # fmt: skip
        made["balance_transaction"] = world.book(account, "transfer", made, -amount, wait=wait)["id"]
        world.book(payee["id"], "payment", made, amount, wait=wait)
        world.emit("transfer.created", made)
        return made

    def create_reversal(self, params: Params, account: str, object_id: str) -> Any:
        world, transfer = self.world, self.world.get(object_id, account)
        left = transfer["amount"] - transfer["amount_reversed"]
        amount = params.get("amount", left)
        _positive(amount)
        if amount > left:
            raise Refused("transfer_already_reversed", "the reversal is more than what is left of the transfer")
        payee, currency = transfer["destination"], transfer["currency"]
        if sum(world.sums(payee).get(currency, {}).values()) < amount:
            raise Refused("balance_insufficient", "the connected account has insufficient funds")
        made = world.make(
            "trr", "transfer_reversal", account, amount=amount, currency=currency, transfer=object_id,
            metadata=params.get("metadata", {}),
        )  # fmt: skip
        transfer["amount_reversed"] += amount
        transfer["reversed"] = transfer["amount_reversed"] == transfer["amount"]
        made["balance_transaction"] = world.book(account, "transfer_refund", made, amount)["id"]
        world.book(payee, "payment_refund", made, -amount)
        world.emit("transfer.reversed", transfer)
        return made

    # payouts

    def create_payout(self, params: Params, account: str, _: None) -> Any:
        world, amount, currency = self.world, params["amount"], params["currency"]
        _positive(amount)
        if world.available(account, currency) < amount:
            raise Refused("balance_insufficient", "You have insufficient funds in your Stripe account.")
        made = world.make(
            "po", "payout", account, amount=amount, currency=currency, status="pending", failure_code=None,
            metadata=params.get("metadata", {}), arrival_date=world.now() + world.arrival_seconds, automatic=False,
            destination=params.get("destination"), method=params.get("method", "standard"),
        )  # fmt: skip
        made["balance_transaction"] = world.book(account, "payout", made, -amount)["id"]
        if self.fail_next_payouts or made["metadata"].get("fake") == "fail" or self._is_to_return(made, account):
            self.failing.add(made["id"])
        world.emit("payout.created", made, account)
        return made

    def _is_to_return(self, payout: Params, account: str) -> bool:
        """Say whether the payee's name asks for a return: of all payouts, or ("return-once") of the first."""
        name = self.world.objects[account].get("display_name") or "" if account else ""
        first = self.world.of_kind("payout", account)[-1] is payout
        return "return-payout" in name or ("return-once" in name and first)

    def fail_payout(self, object_id: str) -> None:
        """Let a payout fail, also one that was paid; its money returns to the account."""
        payout, account = self.world.objects[object_id], self.world.owners[object_id]
        if payout["status"] in FINAL_PAYOUT:
            return
        payout |= {"status": "failed", "failure_code": "account_closed"}
        self.world.book(account, "payout_failure", payout, payout["amount"])
        self.world.emit("payout.failed", payout, account)

    def move_payouts(self) -> None:
        """Move payouts on to where they are by now: in transit after a day, paid after two, returned after nine."""
        now = self.world.now()
        for payout in [one for one in self.world.objects.values() if one["object"] == "payout"]:
            account = self.world.owners[payout["id"]]
            if payout["status"] == "pending" and payout["arrival_date"] - DAY <= now:
                payout["status"] = "in_transit"
                self.world.emit("payout.updated", payout, account)
            if payout["status"] == "in_transit" and payout["arrival_date"] <= now:
                payout["status"] = "paid"
                self.world.emit("payout.paid", payout, account)
            if payout["id"] in self.failing and payout["arrival_date"] + self.world.return_seconds <= now:
                self.fail_payout(payout["id"])

    # refunds, disputes, top-ups

    def create_refund(self, params: Params, account: str, _: None) -> Any:
        world = self.world
        charge_id = params.get("charge")
        if intent_id := params.get("payment_intent"):
            charge_id = world.get(intent_id, account)["latest_charge"]
        if charge_id is None:
            raise Refused("charge_not_refundable", "there is nothing to refund")
        charge = world.get(charge_id, account)
        left = charge["amount"] - charge["amount_refunded"]
        amount = params.get("amount", left)
        _positive(amount)
        if amount > left:
            raise Refused("charge_already_refunded" if not left else "amount_too_large", "more than is left")
        if world.available(account, charge["currency"]) < amount:
            raise Refused("balance_insufficient", "You have insufficient funds in your Stripe account.")
        charge["amount_refunded"] += amount
        made = world.make(
            "re", "refund", account, amount=amount, currency=charge["currency"], charge=charge_id, status="succeeded",
            payment_intent=charge["payment_intent"], metadata=params.get("metadata", {}), failure_reason=None,
        )  # fmt: skip
        made["balance_transaction"] = world.book(account, "refund", made, -amount)["id"]
        world.emit("refund.created", made)
        return made

    def dispute(self, charge_id: str) -> Any:
        """Let a payer's bank take a charge back."""
        charge = self.world.objects[charge_id]
        made = self.world.make(
            "dp", "dispute", PLATFORM, amount=charge["amount"], currency=charge["currency"], charge=charge_id,
            payment_intent=charge["payment_intent"], status="needs_response", reason="fraudulent", metadata={},
            evidence_details={"due_by": self.world.now() + EVIDENCE_SECONDS, "has_evidence": False},
        )  # fmt: skip
        made["balance_transactions"] = [self.world.book(PLATFORM, "adjustment", made, -charge["amount"], fee=1_500)]
        self.world.emit("charge.dispute.created", made)
        self.world.emit("charge.dispute.funds_withdrawn", made)
        return made

    def win_dispute(self, object_id: str) -> None:
        """Let the bank decide for us, and give the money back; the fee stays with Stripe."""
        dispute = self.world.objects[object_id]
        dispute["status"] = "won"
        self.world.emit("charge.dispute.closed", dispute)
        dispute["balance_transactions"].append(self.world.book(PLATFORM, "adjustment", dispute, dispute["amount"]))
        self.world.emit("charge.dispute.funds_reinstated", dispute)

    def close_dispute(self, params: Params, account: str, object_id: str) -> Any:
        dispute = self.world.get(object_id, account)
        dispute["status"] = "lost"
        self.world.emit("charge.dispute.closed", dispute)
        return dispute

    def create_topup(self, params: Params, account: str, _: None) -> Any:
        _positive(params["amount"])
        made = self.world.make(
            "tu", "topup", account, amount=params["amount"], currency=params["currency"], status="succeeded",
            metadata=params.get("metadata", {}),
        )  # fmt: skip
        made["balance_transaction"] = self.world.book(account, "topup", made, params["amount"])["id"]
        self.world.emit("topup.succeeded", made)
        return made

    # balance

    def balance(self, params: Params, account: str, _: None) -> Any:
        sums = self.world.sums(account) or {"usd": {"available": 0, "pending": 0}}
        parts = {
            part: [{"currency": currency, "amount": one[part]} for currency, one in sums.items()]
            for part in ("available", "pending")
        }
        return {"object": "balance", "livemode": False, **parts}

    def settings(self, params: Params, account: str, _: None) -> Any:
        payments = self.world.settings.get(account, {"payouts": {"schedule": {"interval": "daily"}}})
        return {"object": "balance_settings", "payments": payments}

    def update_settings(self, params: Params, account: str, _: None) -> Any:
        self.world.settings[account] = params.get("payments", {})
        return self.settings({}, account, None)

    # accounts, v2

    def create_account(self, params: Params, account: str, _: None) -> Any:
        configuration = params.get("configuration", {})
        requested = configuration.get("recipient", {}).get("capabilities", {}).get("stripe_balance", {})
        wanted = requested.get("stripe_transfers", {}).get("requested", False)
        status = "active" if wanted and "restricted" not in params.get("display_name", "") else "restricted"
        transfers = {"stripe_balance": {"stripe_transfers": {"status": status, "status_details": []}}}
        due = [] if status == "active" else [
            {"description": what, "awaiting_action_from": "user"} for what in ("identity.address", "external_account")
        ]  # fmt: skip
        made = self.world.make(
            "acct", "v2.core.account", PLATFORM, requirements={"entries": due}, display_name=params.get("display_name"),
            metadata=params.get("metadata", {}), dashboard=params.get("dashboard"),
            applied_configurations=sorted(configuration),
            configuration={"recipient": {"applied": True, "capabilities": transfers}},
        )  # fmt: skip
        self.world.emit_thin(CAPABILITY_CHANGED, made["id"])
        return made

    def update_account(self, params: Params, account: str, object_id: str) -> Any:
        found = self.world.get(object_id, PLATFORM)
        found["metadata"] = found["metadata"] | params.get("metadata", {})
        return found

    def onboard(self, account_id: str) -> None:
        """Let a payee tell all that is asked on Stripe's pages; the account may then receive transfers."""
        account = self.world.objects[account_id]
        account["requirements"]["entries"].clear()
        _transfers(account)["status"] = "active"
        self.world.emit_thin(CAPABILITY_CHANGED, account_id)

    def create_account_link(self, params: Params, account: str, _: None) -> Any:
        self.world.get(params["account"], PLATFORM)
        url = f"https://connect.stripe.test/{params['account']}"
        return {"object": "v2.core.account_link", "account": params["account"], "url": url, "livemode": False}


def _positive(amount: int) -> None:
    if amount <= 0:
        raise Refused("parameter_invalid_integer", "This value must be greater than or equal to 1.")


def _transfers(payee: dict[str, Any]) -> Any:
    return payee["configuration"]["recipient"]["capabilities"]["stripe_balance"]["stripe_transfers"]


def seconds(value: int | str) -> float:
    """Return a time of either version in Unix seconds."""
    return value if isinstance(value, int) else datetime.fromisoformat(value).timestamp()
