"""Whatever bytes it is given, reading a session file ends in a session or in one error of our own."""

from __future__ import annotations

import base64
import contextlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.sessions import DATA, LEDGERS, vectors
from tallystick.errors import InputError, TallystickError
from tallystick.exchange import scafld
from tallystick.exchange.formats import detect_format
from tallystick.exchange.scafld_receipts import receipt_chain
from tallystick.exchange.scafld_signatures import verify_receipts
from tallystick.model import Entry, Session

READING = [json.loads(line) for line in (DATA / "scafld" / "reading-vectors.jsonl").read_bytes().splitlines()]
SEEDS = [
    *(file.read_bytes() for file in LEDGERS),
    *(json.dumps(case["input"]).encode() for case in (*vectors("session")[:20], *vectors("scafld")[:4])),
    *(base64.b64decode(case["data"]) for case in READING[::5]),
]
RECEIPT = (DATA / "scafld" / "receipts" / "base-delta-seal.json").read_bytes()
KEYS = (DATA / "scafld" / "receipts" / "trusted-keys.json").read_bytes()
TOKENS = [
    *(b"null", b"true", b"[", b"]", b"{", b"}", b",", b":", b'"', b"\\", b"\\u", b"\\ud800", b"NaN", b"1e400"),
    *(b"-", b"0", b"9" * 25, b"\x00", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", "\u017f".encode(), b'"entries":'),
    *(b'"type":"receipt",', b'"output":"{}",', b'"exit_code":', b'"Entries":[null],', b"[" * 600, b'{"a":' * 600),
]


@pytest.mark.parametrize("case", READING, ids=range(len(READING)))
def test_it_reads_what_scafld_reads_and_refuses_what_scafld_refuses(case):
    data = base64.b64decode(case["data"])
    if case["expected"] is None:
        with pytest.raises(InputError):
            scafld.loads(data, case["dialect"])
    else:
        assert scafld.dumps(scafld.loads(data, case["dialect"])).decode() == case["expected"]


def mutated(data: bytes, rng: random.Random) -> bytes:
    """The data with a few bytes changed, cut out, doubled, or tokens put in."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at, size = rng.randrange(len(result) + 1), rng.randrange(1, 30)
        kind = rng.randrange(5)
        if kind == 0 and at < len(result):
            result[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del result[at : at + size]
        elif kind == 2:
            result[at:at] = result[at : at + size]
        elif kind == 3:
            result[at:at] = rng.choice(TOKENS)
        else:
            result[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(result)


def refusal(data: bytes, dialect: str | None) -> str:
    """Why the data is refused; empty where it was read, and all that is done with a session works too."""
    try:
        session = scafld.loads(data, dialect, where="file")
    except TallystickError as error:
        return str(error)
    for written in ("2.3", "2.5"):
        text = scafld.dumps(session, written)
        again = scafld.loads(text, written, rules=session.rules)
        assert scafld.dumps(again.replace(origin=session.origin), written) == text
    assert scafld.same_history(session, session) == ()
    verify_receipts(session, KEYS)
    return ""


def take(data: bytes) -> bool:
    """Whether the data was read, as the dialect it seems to be."""
    refusals = [refusal(data, dialect) for dialect in ("2.3", "2.5", None)]
    for said in refusals:
        assert "\n" not in said
        assert len(said) < 500
    return not refusals[-1]


@pytest.mark.parametrize("part", range(4))
def test_mutated_files(part, storm):
    rng = random.Random(part)
    taken = sum(take(mutated(rng.choice(SEEDS), rng)) for _ in range(20_000 if storm else 500))
    assert taken > 20


@given(st.binary(max_size=60))
def test_random_bytes(data):
    take(data)
    with contextlib.suppress(InputError):
        detect_format(data, "x")


@given(st.text(alphabet='{}[]":,\\u0123456789eE+-.ntrfalsuidypo \n\ud800\u212a', max_size=40))
def test_random_json_like_text(text):
    take(text.encode("utf-8", "surrogatepass"))


def test_mutated_receipts():
    rng = random.Random(1)
    verified = 0
    for _ in range(1_500):
        output = mutated(RECEIPT, rng).decode("utf-8", "replace")
        session = Session(task_id="base-delta-seal", entries=[Entry(type="receipt", output=output)])
        for check in verify_receipts(session, KEYS):
            if check.ok:
                # What still verifies may differ in white space, or behind the envelope, alone.
                assert json.JSONDecoder().raw_decode(output.lstrip())[0]["body"] == json.loads(RECEIPT)["body"]
                verified += 1
        assert receipt_chain(session).head
    assert verified < 1_000


def test_mutated_keys():
    rng = random.Random(2)
    session = Session(task_id="base-delta-seal", entries=[Entry(type="receipt", output=RECEIPT)])
    for _ in range(1_500):
        data = mutated(KEYS, rng)
        try:
            (check,) = verify_receipts(session, data)
        except TallystickError:
            continue
        assert check.ok == (json.loads(data) == json.loads(KEYS))


def test_a_large_file_comes_back_whole():
    entry = {"type": "criterion", "criterion_id": "ac1", "status": "pass", "output": "x" * 40}
    for unknown in ({}, {"unknown": [[{}] * 10]}):
        data = json.dumps({"task_id": "t", "entries": [{**entry, **unknown}] * 5_000}).encode()
        session = scafld.loads(data)
        assert len(session.entries) == 5_000
        assert scafld.loads(scafld.dumps(session)).entries == session.entries
