"""The bank file and its signature as files: writing them, and checking them without Kapok's database. Pure.

The file is CSV (RFC 4180, UTF-8): a row of names, one `P` row a payment, and one `T` row with the control totals: how
many payments, the sum of their amounts, and the hash total of the account numbers (the sum of the last ten digits of
each, modulo 10¹⁰). Amounts are in major units with exactly the decimals of the currency's minor unit. The detached
signature is canonical JSON, made by the operator's Ed25519 key (RFC 8032) over everything else in it.
"""

import binascii
import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from marketplace.core.money import EXPONENTS
from marketplace.core.signatures import kid_of
from marketplace.core.spreadsheet import harmless
from marketplace.ledger.merkle import canonical, sha256_hex

FORMAT: Final = "kapok-bank-file/1"
COLUMNS: Final = ("record", "ref", "holder_name", "bank_code", "account_number", "amount", "currency", "remark")
PAYMENT: Final = "P"
TOTALS: Final = "T"
_HASH_DIGITS: Final = 10
# A cell that begins so is a formula to a spreadsheet; a quote before it makes it text.


class BankFileBroken(ValueError):
    """The file is not what the operator released; the message says where."""


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment of a file."""

    ref: str
    holder_name: str
    bank_code: str
    account_number: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The control totals of a file."""

    count: int
    sum_minor: int
    hash_total: str


def totals_of(payments: Iterable[Payment]) -> Totals:
    """Return the control totals of payments."""
    count = total = accounts = 0
    for payment in payments:
        digits = re.sub(r"[^0-9]", "", payment.account_number)[-_HASH_DIGITS:]
        count, total, accounts = count + 1, total + payment.amount_minor, accounts + int(digits or "0")
    return Totals(count, total, f"{accounts % 10**_HASH_DIGITS:0{_HASH_DIGITS}d}")


def major(minor: int, currency: str) -> str:
    """Return an amount in major units, with all decimals of the currency: 12345 CNY is `123.45`, 1000 VND `1000`."""
    digits = EXPONENTS[currency]
    sign, whole = ("-" if minor < 0 else ""), str(abs(minor)).zfill(digits + 1)
    return sign + (f"{whole[:-digits]}.{whole[-digits:]}" if digits else whole)


def minor(text: str, currency: str) -> int:
    """Read an amount in major units with exactly the currency's decimals; raise `ValueError` for any other form."""
    digits = EXPONENTS[currency]
    form = rf"-?(0|[1-9][0-9]{{0,14}})\.[0-9]{{{digits}}}" if digits else r"-?(0|[1-9][0-9]{0,14})"
    if not re.fullmatch(form, text):
        raise ValueError(f"{text!r} is no amount in {currency} with {digits} decimals")
    return int(text.replace(".", ""))


def render(batch: str, currency: str, payments: list[Payment]) -> bytes:
    """Return the bytes of a file; the same payments give the same bytes."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for each in payments:
        amount = major(each.amount_minor, currency)
        row = [PAYMENT, each.ref, each.holder_name, each.bank_code, each.account_number, amount, currency]
        writer.writerow([harmless(cell) for cell in (*row, f"Kapok {each.ref}")])
    totals = totals_of(payments)
    sum_of = major(totals.sum_minor, currency)
    writer.writerow([TOTALS, batch, totals.count, "", totals.hash_total, sum_of, currency, FORMAT])
    return written.getvalue().encode()


def sign(content: bytes, batch: str, key: Ed25519PrivateKey) -> str:
    """Return the detached signature of a file, in the form in which it is given out."""
    signed = {"format": FORMAT, "kid": kid_of(key.public_key()), "batch": batch, "sha256": sha256_hex(content)}
    return canonical(signed | {"signature": key.sign(canonical(signed)).hex()}).decode()


def check(content: bytes, signature: bytes, keys: list[Ed25519PublicKey]) -> list[str]:
    """Return what a file and its signature say, line by line.

    Raises:
        BankFileBroken: it is not signed by one of the keys, was changed, or its totals do not fit.
    """
    signed = _signed(signature, keys)
    if signed.get("sha256") != sha256_hex(content):
        raise BankFileBroken("the file is not the one that was signed")
    try:
        return _read_again(content, str(signed.get("batch")))
    except (UnicodeError, csv.Error, ValueError, KeyError) as error:
        if isinstance(error, BankFileBroken):
            raise
        raise BankFileBroken(f"the file is not of the form of {FORMAT}: {error!r}") from error


def _signed(signature: bytes, keys: list[Ed25519PublicKey]) -> dict[str, Any]:
    try:
        given = msgspec.json.decode(signature)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise BankFileBroken("the signature file is not JSON") from error
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        raise BankFileBroken(f"the signature file is not of the form of {FORMAT}")
    made = given.pop("signature", None)
    key = next((key for key in keys if kid_of(key) == given.get("kid")), None)
    if key is None:
        raise BankFileBroken("it is signed with another key than the operator's")
    try:
        key.verify(binascii.unhexlify(made), canonical(given))
    except (TypeError, ValueError, InvalidSignature) as error:
        raise BankFileBroken("the signature does not fit") from error
    return given


def _read_again(content: bytes, batch: str) -> list[str]:
    head, *rows = csv.reader(io.StringIO(content.decode(), newline=""), strict=True)
    if tuple(head) != COLUMNS or not rows or any(len(row) != len(COLUMNS) for row in rows):
        raise BankFileBroken("the columns are not those of the form")
    *listed, last = rows
    currency = last[6]
    if last[0] != TOTALS or any(row[0] != PAYMENT or row[6] != currency for row in listed):
        raise BankFileBroken("there must be payments of one currency, and one row of totals behind them")
    payments = [Payment(row[1], row[2], row[3], row[4], minor(row[5], currency)) for row in listed]
    totals = totals_of(payments)
    told = (last[1], last[2], last[4], last[5])
    if told != (batch, str(totals.count), totals.hash_total, major(totals.sum_minor, currency)):
        raise BankFileBroken("the control totals do not fit the payments")
    if len({payment.ref for payment in payments}) != totals.count:
        raise BankFileBroken("a payment stands there twice")
    return [
        f"file {batch}: {totals.count} payments, {last[5]} {currency}",
        f"hash total of the account numbers: {totals.hash_total}",
    ]
