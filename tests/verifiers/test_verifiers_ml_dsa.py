"""Checkpoints signed by ML-DSA-44 keys: Python checks them, and JavaScript does or says that the platform cannot."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.command import Notch
from support.forge import KEY, LEDGER, ORIGIN, Forge
from support.verifiers import NODE, JavaScript, python_verdict
from tallystick.proof.keys import MLDSA44_COSIGNATURE, SigningKey
from tallystick.proof.note import Signature, SignedNote

PQ = SigningKey(ORIGIN, MLDSA44_COSIGNATURE, b"\11" * 32)
PQ_WITNESS = SigningKey("pq.example", MLDSA44_COSIGNATURE, b"\12" * 32)
HOLDS, FAILS, REFUSED = range(3)
_CAN = """
const { subtle } = globalThis.crypto;
const key = subtle.importKey("raw-public", new Uint8Array(1312), { name: "ML-DSA-44" }, false, ["verify"]);
console.log(await key.then(() => "can", () => "cannot"));
"""


def _can() -> bool:
    if NODE is None:
        return False
    argv = [NODE, "--no-warnings", "--input-type=module", "-e", _CAN]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout == "can\n"


@pytest.fixture(scope="module")
def javascript() -> Iterator[JavaScript]:
    if NODE is None:
        pytest.skip("node is not installed")
    with JavaScript() as running:
        yield running


def signed(*keys: SigningKey) -> Forge:
    """A bundle whose checkpoint these keys signed."""
    forge = Forge()
    forge.key = keys[0]
    text = SignedNote.parse(forge.proof()["proof"]["tlog"].split("\n\n", 1)[1]).text
    for key in keys[1:]:
        other = Forge()
        other.key = key
        forge.signature_lines += other.note(text).split("\n\n", 1)[1].splitlines()
    return forge


def test_both_verify_it_or_say_that_they_cannot(javascript: JavaScript, tmp_path: Path) -> None:
    can = _can()
    for keys, vkeys, expected in (
        ([PQ], [PQ], HOLDS),
        ([PQ, KEY], [PQ], HOLDS),
        ([PQ, KEY], [PQ, KEY], HOLDS),
        ([PQ, KEY], [KEY], HOLDS),
        ([KEY], [PQ, KEY], HOLDS),
        ([KEY], [PQ], FAILS),
    ):
        case = {"what": "bundle", "data": signed(*keys).bundle(), "keys": [str(key.key) for key in vkeys]}
        ours, theirs = python_verdict(case, tmp_path), javascript.verdict(case)
        assert ours[0] == expected
        if PQ in keys and PQ in vkeys and not can:
            assert (theirs[0], "cannot check signatures by ML-DSA-44" in theirs[1]) == (REFUSED, True)
        else:
            assert theirs == ours or (theirs[0], ours[0]) == (FAILS, FAILS)


def test_a_signature_that_does_not_hold_is_found(javascript: JavaScript, tmp_path: Path) -> None:
    forge = signed(PQ)
    data = forge.bundle()
    lines = data.split(b"\\n")
    place = next(n for n, line in enumerate(lines) if line.startswith("— ".encode()))
    lines[place] = lines[place][:400] + (b"A" if lines[place][400:401] != b"A" else b"B") + lines[place][401:]
    case = {"what": "bundle", "data": b"\\n".join(lines), "keys": [str(PQ.key)]}
    assert python_verdict(case, tmp_path)[0] == FAILS
    assert javascript.verdict(case)[0] == (FAILS if _can() else REFUSED)


def test_a_policy_of_such_keys(javascript: JavaScript, tmp_path: Path) -> None:
    note = SignedNote.parse(signed(PQ).proof()["proof"]["tlog"].split("\n\n", 1)[1])
    signature = PQ_WITNESS.signer().sign(note.text, 1_800_000_000)
    cosigned = str(note.with_signatures([Signature(PQ_WITNESS.key.name, PQ_WITNESS.key.key_id, signature)]))
    policy = f"log {PQ.key}\nwitness w {PQ_WITNESS.key}\nquorum w\n".encode()
    case = {"what": "checkpoint", "ledger": LEDGER, "keyFile": policy, "data": cosigned.encode()}
    assert python_verdict(case, tmp_path)[0] == HOLDS
    assert javascript.verdict(case)[0] == (HOLDS if _can() else REFUSED)


def test_the_command_makes_and_uses_one(notch: Notch, tmp_path: Path) -> None:
    assert "notch key show" in notch("key", "new", "pq", "--type", "ml-dsa-44").stdout
    notch("record", "-t", "t", "--type", "criterion", "-c", "ac1", "--status", "pass")
    notch("checkpoint")
    notch("export", "t", "--format", "bundle", "-o", "t.bundle")
    vkey = notch("key", "show").stdout.strip()
    assert vkey.split("+", 2)[2].startswith("B"), "its type is 6"
    assert "the newest state; signed by tallystick/" in notch("verify", "t.bundle", "--key", vkey).stdout
    notch("verify")
    refused = notch("attest", "t", "--entry", "1", code=2)
    assert "signs checkpoints and nothing else; use an Ed25519 key" in refused.stderr
    assert "holds no keys of that type" in notch("key", "new", "x", "--agent", "--type", "ml-dsa-44", code=2).stderr
    assert "belongs to notch key new" in notch("key", "list", "--type", "ed25519", code=2).stderr
    assert "invalid choice" in notch("key", "new", "x", "--type", "rsa", code=2).stderr
    notch("key", "new", "ed", "--type", "ed25519")
