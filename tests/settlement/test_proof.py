"""A proof holds for what was paid, and for nothing else."""

import base64
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import SecretStr
from typer.testing import CliRunner

from cli.main import app as command
from marketplace.core.actor import Role
from marketplace.core.ids import new_id
from marketplace.core.outbox import emit
from marketplace.core.signatures import public_keys, signing_key
from marketplace.identity.models import Organisation
from marketplace.ledger.seal import seal
from marketplace.payments.errors import PayoutUnknown
from marketplace.payments.models import Payout
from marketplace.payments.states import PayeeKind, PayoutState
from marketplace.settlement import accrual, release
from marketplace.settlement.errors import ProofNotYet
from marketplace.settlement.proof import proof_of
from marketplace.settlement.proof_format import ProofBroken, check, sign
from marketplace.tasks.models import Answer
from tests.factories.identity import bearer, make_approved_worker, make_member, make_vendor
from tests.factories.money import ask_payout, ask_top_up, committed, put_off, row_of
from tests.jobs import run_outbox
from tests.settlement.work import make_deal


@pytest.fixture
async def worker(database):
    async with committed(database) as session:
        return await make_approved_worker(session)


async def _pay(database, gateway, worker_resources, payee_id, kind=PayeeKind.WORKER) -> Payout:
    await ask_top_up(database, gateway, new_id(), 10_000_000)
    for _ in range(4):
        await put_off(database)
        await run_outbox(worker_resources, only="payments.")
        await run_outbox(worker_resources, only="sandbox.advance")
    payout = await ask_payout(database, gateway, payee_id, kind=kind)
    for _ in range(12):
        async with committed(database) as session:
            emit(session, "sandbox.advance", {})
            emit(session, "payments.fill_gaps", {})  # no webhook is delivered here
        await put_off(database)
        await run_outbox(worker_resources, only="payments.")
        await run_outbox(worker_resources, only="sandbox.advance")
        await run_outbox(worker_resources, only="payments.")
        payout = await row_of(database, Payout, payout.id)
        if payout.state is PayoutState.PAID:
            return payout
    raise AssertionError(payout.state)


@pytest.fixture
async def paid(database, gateway, worker_resources, worker):
    return await _paid_for(10, database, gateway, worker_resources, worker)


async def _paid_for(units, database, gateway, worker_resources, worker) -> Payout:
    deal = await make_deal(database)
    for _ in range(2):
        claim = await deal.accepted(units, worker=worker.person.id)
        async with committed(database) as session:
            session.add(Answer(request_id=claim.request_id, task_id=claim.id, worker_id=claim.worker_id, revision=1,
                               claim_id=claim.id, value={"label": "木棉"}, seconds=1.0, is_gold=False))  # fmt: skip
            await accrual.accrue(session, claim.request_id, claim.id, 1)
    async with committed(database) as session:
        await release.release_due(session)
    payout = await _pay(database, gateway, worker_resources, worker.person.id)
    async with committed(database) as session:
        await seal(session)
    return payout


async def _proof(database, settings, worker, payout) -> bytes:
    async with database.sessions() as session:
        return await proof_of(session, settings, PayeeKind.WORKER, worker.person.id, payout.id)


async def test_proof_holds_and_no_changed_byte_is_accepted_when_a_payout_was_paid(
    database, settings, worker, paid, client, app, tmp_path
):
    answer = await client.get(f"/v1/me/payouts/{paid.id}/proof", headers=bearer(app, worker))
    content = answer.content
    published = (await client.get("/v1/proof-keys")).text
    keys = public_keys(published)
    assert answer.status_code == 200
    assert "2 of them for accepted bundles" in "\n".join(check(content, keys))
    document = json.loads(content)["document"]
    assert all(entry["seal"] for entry in document["transactions"])
    assert [len(source["bundle"]["answers"]) for source in document["sources"]] == [1, 1]
    for place in range(len(content)):
        for flipped in (content[place] ^ 0x20, content[place] ^ 0x01):
            with pytest.raises(ProofBroken):
                check(content[:place] + bytes([flipped]) + content[place + 1 :], keys)
    other = public_keys(base64.b64encode(Ed25519PrivateKey.generate().public_key().public_bytes_raw()).decode())
    with pytest.raises(ProofBroken, match="another key"):
        check(content, other)
    file, key = tmp_path / "proof.json", tmp_path / "keys.json"
    file.write_bytes(content)
    key.write_text(published)
    told = CliRunner().invoke(command, ["proof", "verify", str(file), "--key", str(key)])
    assert (told.exit_code, "The proof holds." in told.output) == (0, True), told.output
    file.write_text('{"broken')
    told = CliRunner().invoke(command, ["proof", "verify", str(file), "--key", str(key)])
    assert (told.exit_code, "the file is not JSON" in told.output) == (1, True), told.output


async def test_old_proof_holds_when_its_key_is_retired(settings, worker, paid, client, app):
    content = (await client.get(f"/v1/me/payouts/{paid.id}/proof", headers=bearer(app, worker))).content
    live = app.state.resources.settings
    old = signing_key(live).public_key().public_bytes_raw()
    live.proof_retired_keys = f"{base64.b64encode(old).decode()}, "
    live.proof_signing_key = SecretStr(base64.b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode())
    published = public_keys((await client.get("/v1/proof-keys")).text)
    assert len(published) == 2
    assert check(content, published)
    with pytest.raises(ProofBroken, match="another key"):
        check(content, published[:1])


async def test_vendor_gets_its_proof_and_no_other_vendor_does(database, gateway, worker_resources, client, app):
    async with committed(database) as session:
        other = await make_vendor(session)
    deal = await make_deal(database, with_vendor=True, contract={"pay_workers_directly": False})
    claim = await deal.accepted(10)
    async with committed(database) as session:
        await accrual.accrue(session, claim.request_id, claim.id, 1)
    async with committed(database) as session:
        await release.release_due(session)
    organisation_id = deal.contract.vendor_organisation_id
    payout = await _pay(database, gateway, worker_resources, organisation_id, kind=PayeeKind.VENDOR)
    async with committed(database) as session:
        member = await make_member(session, await session.get_one(Organisation, organisation_id), Role.FINANCE)
    path = f"/v1/organisations/{organisation_id}/payouts/{payout.id}/proof"
    answer = await client.get(path, headers=bearer(app, member))
    assert answer.status_code == 200, answer.text
    assert check(answer.content, public_keys((await client.get("/v1/proof-keys")).text))
    assert (await client.get(path, headers=bearer(app, other))).status_code == 404


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["transactions"][0]["content"]["legs"][0].__setitem__(2, 5), "does not add up to zero"),
        (lambda d: d["sources"].pop(), "do not cover"),
        (lambda d: d["sources"][0].update(taken_minor=10**9), "does not give"),
        (lambda d: d["sources"][0]["bundle"]["split"].update(fee_minor=0), "does not add up"),
        (lambda d: d["sources"][0]["bundle"]["verdict"].update(outcome="rejected"), "not accepted"),
        (lambda d: d["transactions"][0]["content"].update(facts_hash="0" * 64), "is not in block"),
        (lambda d: d["blocks"][0]["header"].update(number=9), "its hash is not"),
        (lambda d: d.pop("payout"), "not of the form"),
    ],
)
async def test_proof_is_refused_when_the_operator_signed_what_does_not_fit(
    database, settings, worker, paid, change, reason
):
    document = json.loads(await _proof(database, settings, worker, paid))["document"]
    change(document)
    key = signing_key(settings)
    with pytest.raises(ProofBroken, match=reason):
        check(sign(document, key), [key.public_key()])


async def test_no_proof_is_given_when_it_is_anothers_or_not_paid(
    database, settings, gateway, worker, paid, worker_resources
):
    async with committed(database) as session:
        other = await make_approved_worker(session)
    with pytest.raises(PayoutUnknown):
        await _proof(database, settings, other, paid)
    deal = await make_deal(database)
    claim = await deal.accepted(10, worker=worker.person.id)
    async with committed(database) as session:
        await accrual.accrue(session, claim.request_id, claim.id, 1)
    async with committed(database) as session:
        await release.release_due(session)
    second = await ask_payout(database, gateway, worker.person.id)
    with pytest.raises(ProofNotYet):
        await _proof(database, settings, worker, second)


@pytest.mark.usefixtures("taxed")
async def test_proof_holds_when_tax_was_withheld(database, settings, gateway, worker_resources, worker):
    paid = await _paid_for(10_000, database, gateway, worker_resources, worker)
    assert paid.tax_minor > 0
    content = await _proof(database, settings, worker, paid)
    told = check(content, [signing_key(settings).public_key()])
    assert f"{paid.amount_minor} minor units of CNY, paid; {paid.tax_minor} withheld" in told[0]
