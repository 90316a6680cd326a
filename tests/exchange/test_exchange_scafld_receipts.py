"""The receipt chain, and the signatures of receipts, against scafld's own results and real receipts."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from support.sessions import DATA, LEDGERS
from tallystick.errors import InputError
from tallystick.exchange import scafld
from tallystick.exchange.scafld_receipts import (
    GENESIS_HEAD,
    MISMATCH,
    canonical,
    next_head,
    open_receipt,
    receipt_chain,
)
from tallystick.exchange.scafld_signatures import ReceiptCheck, key_id_of, verify_receipts
from tallystick.model import Entry, Session, replay

RECEIPTS = DATA / "scafld" / "receipts"
EXAMPLES = [RECEIPTS / "base-delta-seal.json", RECEIPTS / "browser-evidence-acceptance.json"]
EXAMPLE_KEYS = (RECEIPTS / "trusted-keys.json").read_bytes()
LEDGER_KEYS = (DATA / "scafld" / "trusted-keys.json").read_bytes()
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = SIGNER.public_key().public_bytes_raw()


def session_of(*outputs: str, task_id: str = "base-delta-seal", **fields: Any) -> Session:
    """A session whose entries are receipts of these outputs."""
    entries = [Entry(type="receipt", output=output, **fields) for output in outputs]
    return replay(Session(task_id=task_id, entries=entries))


def keys_of(**changes: Any) -> bytes:
    """A file that trusts SIGNER, with its key changed."""
    key = {"key_id": key_id_of(PUBLIC), "alg": "ed25519", "public_key": base64.b64encode(PUBLIC).decode()}
    return json.dumps({"version": 1, "keys": [{**key, **changes}]}).encode()


def signed(prior: str = GENESIS_HEAD, change: Callable[[dict[str, Any]], object] = id) -> str:
    """A receipt by SIGNER, chained to `prior`; its body is an example's, changed before it is chained."""
    envelope = json.loads(EXAMPLES[0].read_bytes())
    body = envelope["body"]
    change(body)
    envelope["signature"] = {"alg": "ed25519", "key_id": key_id_of(PUBLIC), "sig": "x"}
    body["ledger_head"] = next_head(prior, open_receipt(json.dumps(envelope)).digest)
    signature = SIGNER.sign(open_receipt(json.dumps(envelope)).signed)
    envelope["signature"]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(envelope)


def reason(session: Session, keys: bytes = EXAMPLE_KEYS, **options: Any) -> str:
    """What is wrong with the session's only receipt."""
    (check,) = verify_receipts(session, keys, **options)
    assert check.ok is (not check.reason)
    return check.reason


class TestChain:
    CASES: ClassVar = [json.loads(line) for line in (DATA / "scafld" / "chain-vectors.jsonl").read_bytes().splitlines()]

    @pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
    def test_sessions_come_out_as_scafld_writes_them(self, case):
        session = scafld.loads(case["data"].encode(), "2.5")
        assert scafld.dumps(session).decode() == case["expected"]

    def test_the_vectors_have_valid_and_broken_chains(self):
        broken = [case for case in self.CASES if '"ledger_error"' in case["expected"]]
        assert len(broken) > 15
        assert len(self.CASES) - len(broken) > 5

    def test_a_session_without_receipts_is_at_the_genesis(self):
        chain = receipt_chain(Session(entries=[Entry(type="receipt", output=" \u3000"), Entry(type="run")]))
        assert (chain.head, chain.error, chain.links) == (GENESIS_HEAD, "", [])
        assert GENESIS_HEAD == "c7180e7beadce77a59ea98dc15f48b4654d44ea33533be41e3eedb346607f166"

    def test_the_finished_ledger_states_what_is_computed(self):
        session = scafld.loads(LEDGERS[0].read_bytes())
        (link,) = receipt_chain(session).links
        extras = session.entries[link.position - 1].details["scafld"]
        assert link.digest == extras["receipt_digest"]
        assert link.expected == extras["ledger_head"] == next_head(GENESIS_HEAD, link.digest)

    @pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
    def test_the_examples_begin_a_chain(self, file):
        text = file.read_text(encoding="utf-8")
        receipt = open_receipt(text)
        assert receipt.body["ledger_head"] == next_head(GENESIS_HEAD, receipt.digest)
        assert receipt_chain(session_of(text)).head == receipt.body["ledger_head"]

    def test_a_break_stays_though_later_receipts_move_the_head(self):
        first = signed()
        head = open_receipt(first).body["ledger_head"]
        broken = signed(prior="0" * 64, change=lambda body: body.update(verdict="fail"))
        third = signed(prior=head, change=lambda body: body.update(tree_sha="other"))
        chain = receipt_chain(session_of(first, broken, third))
        assert chain.error == MISMATCH
        assert chain.head == open_receipt(third).body["ledger_head"]
        assert [link.error for link in chain.links] == ["", MISMATCH, ""]

    def test_a_receipt_that_scafld_could_not_read_keeps_the_error_of_the_file(self):
        data = json.dumps(
            {"entries": [{"type": "receipt", "output": "{}"}], "ledger_error": "invalid receipt entry: its words"}
        ).encode()
        assert receipt_chain(scafld.loads(data)).error == "invalid receipt entry: its words"
        assert receipt_chain(session_of("{}")).error == "invalid receipt entry: schema_version must be 1"

    def test_a_receipt_that_scafld_rejected_does_not_move_the_head(self):
        entry = {"type": "receipt", "output": signed(), "trust_status": "rejected", "trust_reason": "its words"}
        data = {"entries": [entry], "ledger_error": "receipt trust rejected: its words"}
        chain = receipt_chain(scafld.loads(json.dumps(data).encode()))
        assert (chain.head, chain.error) == (GENESIS_HEAD, data["ledger_error"])
        del data["ledger_error"]
        assert receipt_chain(scafld.loads(json.dumps(data).encode())).error == ""

    def test_fields_of_a_later_version_are_part_of_the_digest(self):
        plain = open_receipt(signed())
        later = open_receipt(signed(change=lambda body: body.update(later={"b": 1.50, "a": [None]})))
        assert later.digest != plain.digest
        assert b'"later":{"a":[null],"b":1.5}' in later.signed
        with pytest.raises(InputError, match="unknown field"):
            open_receipt(signed(change=lambda body: body.update(later=1)), closed=True)


def test_canonical_json_has_sorted_keys_and_numbers_as_written():
    value = open_receipt(signed(change=lambda body: body["file_digests"].clear())).signed.decode()
    assert value.startswith('{"acceptance":[{"command":"go run ')
    assert " " not in value[: value.index("go run")]
    assert '"file_digests":{}' in value
    assert canonical({"é": "<&>\u2028", "a": True, "Z": None, "🎉": [], "\uffee": {}}) == (
        '{"Z":null,"a":true,"é":"\\u003c\\u0026\\u003e\\u2028","\uffee":{},"🎉":[]}'
    )


class TestSignatures:
    @pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
    def test_the_examples_verify(self, file):
        text = file.read_text(encoding="utf-8")
        body = json.loads(text)["body"]
        (check,) = verify_receipts(session_of(text, task_id=file.stem), EXAMPLE_KEYS)
        assert check.to_dict() == {
            "position": 1,
            "ok": True,
            "reason": "",
            "task_id": file.stem,
            "verdict": "pass",
            "minted_at": body["minted_at"],
            "key_id": "ed25519:RGGe6gUQpsB6KGu0VcnMxGUL5IA1I1VDSKi3ecCzYOU",
            "receipt_digest": open_receipt(text).digest,
            "ledger_head": body["ledger_head"],
        }

    def test_the_receipt_of_a_real_ledger_verifies_in_its_place(self):
        session = scafld.loads(LEDGERS[0].read_bytes())
        (check,) = verify_receipts(session, LEDGER_KEYS)
        assert (check.position, check.ok, check.verdict) == (17, True, "pass")
        assert isinstance(check, ReceiptCheck)
        assert verify_receipts(scafld.loads(LEDGERS[1].read_bytes()), LEDGER_KEYS) == []

    def test_a_chain_of_several_verifies(self):
        first = signed()
        second = signed(prior=open_receipt(first).body["ledger_head"], change=lambda body: body.update(verdict="fail"))
        checks = verify_receipts(session_of(first, second), keys_of())
        assert [(check.ok, check.verdict) for check in checks] == [(True, "pass"), (True, "fail")]
        swapped = verify_receipts(session_of(second, first), keys_of())
        assert "does not follow" in swapped[0].reason
        assert [check.ok for check in verify_receipts(session_of(second), keys_of())] == [False]

    def test_every_value_of_the_body_is_covered(self):
        envelope = json.loads(EXAMPLES[0].read_bytes())

        def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
            if not isinstance(value, dict | list):
                return [path]
            items = value.items() if isinstance(value, dict) else enumerate(value)
            return [leaf for key, item in items for leaf in leaves(item, (*path, key))]

        paths = leaves(envelope["body"])
        assert len(paths) > 80
        for path in paths:
            changed = json.loads(EXAMPLES[0].read_bytes())
            holder = changed["body"]
            for key in path[:-1]:
                holder = holder[key]
            value = holder[path[-1]]
            holder[path[-1]] = not value if isinstance(value, bool) else value + (1 if isinstance(value, int) else "x")
            assert reason(session_of(json.dumps(changed))), path

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda e: e["body"].update(verdict="fail"), "the signature by"),
            (lambda e: e["body"].update(base_ref=""), "the signature by"),
            (lambda e: e["body"].update(extra=1), "the signature by"),
            (lambda e: e["body"].pop("acceptance_declared"), "the signature by"),
            (lambda e: e["signature"].update(sig="A" * 86 + "=="), "the signature by"),
            (lambda e: e["signature"].update(sig="not base64"), "the signature by"),
            (lambda e: e["signature"].update(sig=e["signature"]["sig"][:40]), "the signature by"),
            (lambda e: e["signature"].update(key_id="ed25519:other"), "not a trusted key"),
            (lambda e: e["signature"].update(alg="none"), "signature alg must be ed25519"),
            (lambda e: e["signature"].update(sig=" "), "signature sig is required"),
            (lambda e: e["body"].pop("tree_sha"), "missing required receipt fields: tree_sha"),
            (lambda e: e["body"].update(ignored_unreviewed=None), "missing required receipt fields: ignored_un"),
            (lambda e: e["body"]["reviewer"].update(provider=""), "missing required receipt fields: reviewer.prov"),
            (lambda e: e["body"].update(schema_version=2), "schema_version must be 1"),
            (lambda e: e["body"].update(verdict="maybe"), "invalid verdict"),
            (lambda e: e["body"].update(snapshot_mode="x"), "invalid snapshot_mode"),
            (lambda e: e["body"].update(snapshot_mode="working_tree"), "base_ref is for"),
            (lambda e: e["body"]["file_digests"].update(new="x"), "which was not reviewed"),
            (lambda e: e["body"]["reviewed_context_provenance"][0].update(sha256="x"), "with another content"),
            (lambda e: e.pop("body"), "schema_version must be 1"),
            (lambda e: e.update(body=[]), "expected an object"),
        ],
    )
    def test_what_was_tampered_with_does_not_verify(self, change, says):
        envelope = json.loads(EXAMPLES[0].read_bytes())
        change(envelope)
        assert says in reason(session_of(json.dumps(envelope)))

    @pytest.mark.parametrize("text", ["x", "[]", "null", "{", '{"body":NaN}', '{"body":' * 5000])
    def test_what_is_no_receipt_says_so(self, text):
        assert reason(session_of(text)).startswith("invalid receipt entry: ")

    def test_a_body_that_can_be_read_in_two_ways_does_not_verify(self):
        text = signed()
        twice = text.replace('"verdict": "pass"', '"verdict": "fail", "verdict": "pass"')
        assert open_receipt(twice).signed == open_receipt(text).signed
        assert "'verdict' twice" in reason(session_of(twice), keys_of())
        cased = text.replace('"verdict": "pass"', '"Verdict": "fail", "verdict": "pass"')
        assert "the signature by" in reason(session_of(cased), keys_of())
        bodies = text.replace('{"body": {', '{"body": {"verdict": "fail"}, "body": {', 1)
        assert "twice" in reason(session_of(bodies), keys_of())

    def test_a_receipt_of_another_task_does_not_count(self):
        session = session_of(EXAMPLES[0].read_text(encoding="utf-8"), task_id="other")
        assert reason(session) == "it is about the task 'base-delta-seal'"
        assert reason(session, task_id="base-delta-seal") == ""

    def test_what_its_entry_states_must_fit(self):
        text = EXAMPLES[0].read_text(encoding="utf-8")
        digest = open_receipt(text).digest
        for stated, says in ((f" {digest}\n", ""), ("0" * 64, "not the receipt_digest")):
            assert says in reason(session_of(text, details={"scafld": {"receipt_digest": stated}}))
        assert "does not follow" in reason(session_of(text, details={"scafld": {"ledger_head": "0" * 64}}))

    def test_a_digest_alone_is_no_receipt(self):
        session = Session(entries=[Entry(type="note", details={"scafld": {"receipt_digest": "ab"}})])
        assert reason(session) == "there is a digest, but no receipt to verify"

    def test_fields_nested_absurdly_deep_are_refused(self):
        for levels in (480, 600, 100_000):
            text = signed().replace('{"body": {', '{"body": {"deep": ' + "[" * levels + "]" * levels + ",", 1)
            assert "nested" in reason(session_of(text), keys_of())

    def test_only_what_follows_the_envelope_is_free(self):
        text = signed()
        assert reason(session_of(f"\n {text} trailing"), keys_of()) == ""
        assert reason(session_of(f"\ufeff{text}"), keys_of()).startswith("invalid receipt entry")


class TestKeys:
    MINTED = "2026-06-05T04:28:39Z"

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({}, ""),
            ({"revoked": False}, ""),
            ({"revoked": True}, "which is revoked"),
            ({"revoked_at": MINTED}, "had been revoked by then"),
            ({"revoked_at": "2026-06-05T04:28:39.000000001Z"}, ""),
            ({"revoked_at": "2026-06-05T06:28:39+02:00"}, "had been revoked by then"),
            ({"revoked_at": "2026-06-05T06:28:40+02:00"}, ""),
            ({"revoked_at": "2026-06-04T22:28:38-06:00"}, "had been revoked by then"),
            ({"revoked_at": "2026-06-04T22:28:40-06:00"}, ""),
            ({"expires_at": MINTED}, "had expired by then"),
            ({"expires_at": "2026-06-05T04:28:40Z"}, ""),
            ({"expires_at": "2020-01-01T00:00:00Z", "revoked_at": "2030-01-01T00:00:00Z"}, "had expired by then"),
            ({"expires_at": "", "revoked_at": " "}, ""),
        ],
    )
    def test_a_key_counts_at_the_time_the_receipt_was_minted(self, changes, says):
        problem = reason(session_of(signed()), keys_of(**changes))
        assert (says in problem) if says else problem == ""

    @pytest.mark.parametrize(
        "minted", ["yesterday", "2026-06-05 04:28:39Z", "2026-02-30T00:00:00Z", "2026-06-05T04:28:39", "2026-06-05"]
    )
    def test_a_receipt_must_say_when_it_was_minted(self, minted):
        text = signed(change=lambda body: body.update(minted_at=minted))
        assert reason(session_of(text), keys_of()) == f"minted_at {minted!r} is not an RFC 3339 time"

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"", "keys.json: not JSON"),
            (b"[]", "keys.json: expected an object"),
            (b'{"version":2,"keys":[]}', "keys.json: the version is not 1"),
            (b'{"keys":[]}', "keys.json: the version is not 1"),
            (b'{"version":true,"keys":[]}', "keys.json: the version is not 1"),
            (b'{"version":1,"keys":{}}', "keys.json: keys is not a list"),
            (b'{"version":1,"keys":[],"more":1}', "keys.json: expected an object of version and keys"),
            (b'{"version":1,"version":1}', "keys.json: duplicate key"),
            (b'{"version":1,"keys":[1]}', "keys.json: keys[0]: not an object"),
            (keys_of(alg="rsa"), "keys.json: keys[0]: alg is not ed25519"),
            (keys_of(public_key="AAAA"), "keys.json: keys[0]: public_key is not 32 bytes"),
            (keys_of(public_key="*"), "keys.json: keys[0]: public_key is not 32 bytes"),
            (keys_of(key_id="ed25519:x"), "keys.json: keys[0]: key_id is not that of its public key"),
            (keys_of(revoked="yes"), "keys.json: keys[0]: revoked has a value of the wrong type"),
            (keys_of(revoked=0), "keys.json: keys[0]: revoked has a value of the wrong type"),
            (keys_of(expires_at="soon"), "keys.json: keys[0]: expires_at 'soon' is not an RFC 3339 time"),
            (keys_of(not_before="x"), "keys.json: keys[0]: unknown field 'not_before'"),
        ],
    )
    def test_a_file_that_cannot_be_trusted_is_refused(self, data, says):
        with pytest.raises(InputError) as caught:
            verify_receipts(Session(), data, where="keys.json")
        assert str(caught.value).startswith(says)

    def test_a_key_must_not_come_twice(self):
        keys = json.loads(keys_of())
        keys["keys"] *= 2
        with pytest.raises(InputError, match="comes twice"):
            verify_receipts(Session(), json.dumps(keys).encode())

    def test_keys_are_known_by_their_digest(self):
        for data in (EXAMPLE_KEYS, LEDGER_KEYS):
            (key,) = json.loads(data)["keys"]
            assert key_id_of(base64.b64decode(key["public_key"])) == key["key_id"]
