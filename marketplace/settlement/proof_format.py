"""The settlement proof as a file: signing it, and checking it without Kapok's database. Pure.

A proof is canonical JSON, byte for byte: `document` says what was paid for, `signature` is the operator's Ed25519
(RFC 8032) signature in hexadecimal over the canonical form of everything else. The rule of `sources`: a payout is fed
by the payee's credits in the order they were booked, from where earlier payouts that were not cancelled, and
claw-backs, ended.
"""

import binascii
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from marketplace.core.signatures import kid_of
from marketplace.ledger.merkle import canonical, leaf_hash, root_by_path, sha256_hex

FORMAT: Final = "kapok-settlement-proof/1"


class ProofBroken(ValueError):
    """The proof does not hold; the message says where."""


def sign(document: dict[str, Any], key: Ed25519PrivateKey) -> bytes:
    """Return the file of a proof."""
    signed = {"format": FORMAT, "kid": kid_of(key.public_key()), "document": document}
    return canonical(signed | {"signature": key.sign(canonical(signed)).hex()})


def check(content: bytes, keys: list[Ed25519PublicKey]) -> list[str]:
    """Return what a proof proves, line by line.

    Raises:
        ProofBroken: it is not signed by one of the keys, or what it says does not fit together.
    """
    document = _signed_document(content, keys)
    try:
        return _check_document(document)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        if isinstance(error, ProofBroken):
            raise
        raise ProofBroken(f"the document is not of the form of {FORMAT}: {error!r}") from error


def _signed_document(content: bytes, keys: list[Ed25519PublicKey]) -> dict[str, Any]:
    try:
        proof = msgspec.json.decode(content)
        exact = canonical(proof) == content
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ProofBroken("the file is not JSON") from error
    if not isinstance(proof, dict) or proof.get("format") != FORMAT or not exact:
        raise ProofBroken(f"the file is not, byte for byte, a {FORMAT}")
    signature = proof.pop("signature", None)
    key = next((key for key in keys if kid_of(key) == proof.get("kid")), None)
    if key is None:
        raise ProofBroken("it is signed with another key than the operator's")
    try:
        raw = binascii.unhexlify(signature)
        key.verify(raw, canonical(proof))
    except (TypeError, ValueError, InvalidSignature) as error:
        raise ProofBroken("the signature does not fit the content") from error
    if raw.hex() != signature or not isinstance(proof.get("document"), dict):
        raise ProofBroken("the signature is not written in its one form")
    return dict(proof["document"])


def _check_document(document: dict[str, Any]) -> list[str]:
    payout = document["payout"]
    transactions = {entry["content"]["id"]: entry for entry in document["transactions"]}
    for entry in transactions.values():
        _check_legs(entry["content"])
    _check_payout(payout, transactions)
    bundles = _check_sources(document, transactions)
    sealed = _check_seals(document, transactions)
    paid = f"{payout['amount_minor']} minor units of {payout['currency']}, paid; {payout['tax_minor']} withheld"
    return [
        f"payout {payout['id']}: {paid}",
        f"fed by {len(document['sources'])} credits, {bundles} of them for accepted bundles; they cover it exactly",
        f"{len(transactions)} ledger transactions, each adds up to zero",
        f"{sealed} of them are sealed in {len(document['blocks'])} blocks, {len(transactions) - sealed} not yet",
    ]


def _check_legs(content: dict[str, Any]) -> None:
    totals: dict[str, int] = {}
    for _path, currency, amount in content["legs"]:
        totals[currency] = totals.get(currency, 0) + _integer(amount)
    if not totals or any(totals.values()):
        raise ProofBroken(f"transaction {content['key']} does not add up to zero")


def _check_payout(payout: dict[str, Any], transactions: dict[str, Any]) -> None:
    gross, net, tax = (_integer(payout[part]) for part in ("gross_minor", "amount_minor", "tax_minor"))
    if gross != net + tax or tax < 0:
        raise ProofBroken("what was paid and what was withheld are not what was owed")
    leg = [payout["payable_path"], payout["currency"], gross]
    keys = {entry["content"]["key"]: entry["content"] for entry in transactions.values()}
    reserve = keys.get(f"payout:{payout['id']}:reserve")
    paid = keys.get(f"payout:{payout['id']}:paid:1")
    if reserve is None or leg not in reserve["legs"] or reserve["kind"] != "payout.reserve":
        raise ProofBroken("the ledger did not take the payout's amount from the payee's balance")
    pending = [f"payout_pending:{payout['id']}", payout["currency"], net]
    if payout["state"] != "paid" or paid is None or pending not in paid["legs"]:
        raise ProofBroken("the ledger does not say that the payout was paid")


def _check_sources(document: dict[str, Any], transactions: dict[str, Any]) -> int:
    payout, bundles, seen = document["payout"], 0, set()
    for source in document["sources"]:
        content = transactions[source["txn_id"]]["content"]
        credit = -sum(leg[2] for leg in content["legs"] if leg[:2] == [payout["payable_path"], payout["currency"]])
        if source["credited_minor"] != credit:
            raise ProofBroken(f"transaction {content['key']} credits another amount than is said")
        if content["id"] in seen or not 0 < _integer(source["taken_minor"]) <= credit:
            raise ProofBroken(f"transaction {content['key']} does not give what is taken from it")
        seen.add(content["id"])
        if source["bundle"] is not None:
            bundles += 1
            _check_bundle(source["bundle"], content)
    if any(source["taken_minor"] != source["credited_minor"] for source in document["sources"][1:-1]):
        raise ProofBroken("only the first and the last credit of a payout may be taken in part")
    if sum(source["taken_minor"] for source in document["sources"]) != payout["gross_minor"]:
        raise ProofBroken("the credits do not cover the payout")
    return bundles


def _check_bundle(bundle: dict[str, Any], content: dict[str, Any]) -> None:
    split = bundle["split"]
    parts = [_integer(split[part]) for part in ("fee_minor", "vendor_minor", "worker_minor")]
    if sum(parts) != split["amount_minor"] or min(parts) < 0:
        raise ProofBroken(f"the split of claim {bundle['claim_id']} does not add up")
    if content["key"] != f"release:{bundle['claim_id']}:{bundle['revision']}":
        raise ProofBroken(f"claim {bundle['claim_id']} is not what transaction {content['key']} was for")
    if sum(leg[2] for leg in content["legs"] if leg[2] > 0) != split["amount_minor"]:
        raise ProofBroken(f"transaction {content['key']} books another amount than the split")
    if bundle["verdict"]["outcome"] != "accepted":
        raise ProofBroken(f"claim {bundle['claim_id']} was not accepted")


def _check_seals(document: dict[str, Any], transactions: dict[str, Any]) -> int:
    blocks = {}
    for block in document["blocks"]:
        if sha256_hex(canonical(block["header"])) != block["hash"]:
            raise ProofBroken(f"block {block['header']['number']}: its hash is not that of its header")
        blocks[block["header"]["number"]] = block["header"]
    sealed = 0
    for entry in transactions.values():
        if entry["seal"] is None:
            continue
        header, seal = blocks[entry["seal"]["block"]], entry["seal"]
        path = [bytes.fromhex(node) for node in seal["path"]]
        root = root_by_path(leaf_hash(canonical(entry["content"])), seal["position"], header["txn_count"], path)
        if root is None or root.hex() != header["merkle_root"]:
            raise ProofBroken(f"transaction {entry['content']['key']} is not in block {header['number']}")
        sealed += 1
    return sealed


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise ProofBroken(f"{value!r} is no amount in minor units")
    return value
