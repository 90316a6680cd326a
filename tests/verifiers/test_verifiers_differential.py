"""Files that two programs could read differently: both verifiers judge each alike, down to the exit code."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.forge import KEY, LEDGER, ORIGIN, TASK, Forge, compact, digest, encoded, part
from support.mutations import COSIGNED, KEYS, POLICY, STRANGER, WITNESSES
from support.spellings import CASES, FAILS, HEADER_CASES, HOLDS, RECORD_CASES, REFUSED, forged
from support.verifiers import NODE, JavaScript, Verdict, python_verdict
from tallystick import TallystickError
from tallystick.proof.keys import ED25519_COSIGNATURE, MLDSA44_COSIGNATURE, SigningKey
from tallystick.proof.note import SignedNote
from tallystick.stores.bundle_lines import lines_of
from tallystick.stores.bundle_reader import BundleReader

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


@pytest.fixture(scope="module")
def javascript() -> Iterator[JavaScript]:
    with JavaScript() as running:
        yield running


def both(case: dict[str, Any], javascript: JavaScript, folder: Path) -> Verdict:
    """What both say, once they say the same."""
    ours, theirs = python_verdict(case, folder), javascript.verdict(case)
    assert ours[0] == theirs[0], (ours, theirs)
    assert ours[0] or ours[1] == theirs[1], (ours, theirs)
    return ours


def in_lines(data: bytes, folder: Path) -> int:
    """What reading the bundle line by line comes to, as importing and opening it do."""
    (folder / "lines").write_bytes(data)
    try:
        BundleReader(lines_of(str(folder / "lines"))).verdict()
    except TallystickError as error:
        return error.exit_code
    return HOLDS


@pytest.mark.parametrize("name", CASES)
def test_a_bundle_is_judged_alike(name: str, javascript: JavaScript, tmp_path: Path) -> None:
    forge, (_, expected) = forged(name), CASES[name]
    case = {"what": "bundle", "data": forge.bundle(), "keys": [str(KEY.key)]}
    told = both(case, javascript, tmp_path)
    assert told[0] == expected, told
    if name in RECORD_CASES or name in HEADER_CASES:
        assert in_lines(case["data"], tmp_path) == expected
        forge.has_proof = False
        assert both({"what": "bundle", "data": forge.bundle()}, javascript, tmp_path)[0] == expected


FIRST = {"bundle": 1, "ledger": LEDGER, "task_id": "never", "absent": True}
ABSENCES: dict[str, tuple[bytes, int]] = {
    "nothing recorded": (Forge().absence(), HOLDS),
    "a task that is a number": (Forge().absence(first=FIRST | {"task_id": 7}), REFUSED),
    "a task that is null": (Forge().absence(first=FIRST | {"task_id": None}), REFUSED),
    "a task without a name": (Forge().absence(""), REFUSED),
    "a task with a NUL": (Forge().absence("a\0b"), REFUSED),
    "a task with a lone surrogate": (Forge().absence("\ud800"), REFUSED),
    "a task of 513 bytes": (Forge().absence("é" * 256 + "x"), REFUSED),
    "a task of 512 bytes": (Forge().absence("é" * 256), HOLDS),
    "a task with a newline": (Forge().absence("a\nb"), HOLDS),
    "a ledger that is a number": (Forge().absence(first=FIRST | {"ledger": 7}), REFUSED),
    "a ledger in upper case": (Forge().absence(first=FIRST | {"ledger": LEDGER.upper()}), REFUSED),
    "absent as a number": (Forge().absence(first=FIRST | {"absent": 1}), REFUSED),
    "a later format": (Forge().absence(first=FIRST | {"bundle": 2}), REFUSED),
    "a format of true": (Forge().absence(first=FIRST | {"bundle": True}), REFUSED),
    "a format of 1.0": (Forge().absence().replace(b'"bundle":1', b'"bundle":1.0'), REFUSED),
    "the task that is there": (Forge().absence(TASK), FAILS),
    "a head of 2^53 entries beside it": (
        Forge().absence(other={"key": "0" * 64, "position": 2**53 + 1, "root": "0" * 64}),
        REFUSED,
    ),
    "a head at a fraction": (Forge().absence().replace(b'"position":4', b'"position":4.0'), REFUSED),
    "a head below 0": (Forge().absence(other={"key": "0" * 64, "position": -1, "root": "0" * 64}), REFUSED),
    "no UTF-8": (Forge().absence().replace(b"never", b"nev\xffr"), REFUSED),
    "a key twice": (Forge().absence().replace(b'"absent":true', b'"absent":true,"absent":true', 1), REFUSED),
    "nothing": (b"", REFUSED),
    "a newline": (b"\n", REFUSED),
    "a list": (b"[]\n", REFUSED),
    "null": (b"null\n", REFUSED),
    "deeply nested": (b'{"bundle":1,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n", REFUSED),
}


@pytest.mark.parametrize("name", ABSENCES)
def test_an_absence_is_judged_alike(name: str, javascript: JavaScript, tmp_path: Path) -> None:
    data, expected = ABSENCES[name]
    told = both({"what": "bundle", "data": data, "keys": [str(KEY.key)]}, javascript, tmp_path)
    assert told[0] == expected, told


def test_outputs_in_pieces_are_judged_alike(javascript: JavaScript, tmp_path: Path) -> None:
    large = b"x" * 1_500_000
    for pieces, expected in (
        ([large[: 1 << 20], large[1 << 20 :]], HOLDS),
        ([large[: 1 << 20], large[1 << 20 :], b""], REFUSED),
        ([large[:1000], large[1000:]], REFUSED),
        ([large], REFUSED),
        ([], REFUSED),
    ):
        forge = Forge()
        forge.records[1] = forge.entry(2, output=digest(large), output_size=len(large))
        forge.parts[1]["output"] = {"salt": part(b"")["salt"], "pieces": len(pieces)}
        lines = forge.lines()
        place = next(n for n, line in enumerate(lines) if '"pieces"' in line)
        lines[place + 1 : place + 1] = [compact({"piece": encoded(piece)}) for piece in pieces]
        data = "".join(f"{line}\n" for line in lines).encode()
        assert both({"what": "bundle", "data": data, "keys": [str(KEY.key)]}, javascript, tmp_path)[0] == expected


# --- whose signature counts

PLAIN = str(SignedNote(SignedNote.parse(COSIGNED).text, SignedNote.parse(COSIGNED).signatures[:1]))
AS_WITNESS = str(SigningKey(ORIGIN, ED25519_COSIGNATURE, b"\7" * 32).key)
PQ = SigningKey(ORIGIN, MLDSA44_COSIGNATURE, b"\11" * 32)
PQ_WITNESS = SigningKey("pq.example", MLDSA44_COSIGNATURE, b"\11" * 32)
WEAK = f"{ORIGIN}+00000000+{encoded(bytes((1,)) + bytes(32))}"
VKEY = str(KEY.key)
NO_LOG = POLICY.replace(f"log {VKEY} https://log.example/\n", "")
TRUSTED: dict[str, tuple[list[str], bytes | None, str, int]] = {
    "the key": ([VKEY], None, PLAIN, HOLDS),
    "a stranger's key": ([str(STRANGER.key)], None, PLAIN, FAILS),
    "the key as a witness's": ([AS_WITNESS], None, PLAIN, REFUSED),
    "a retired key": ([f"{VKEY} until 1"], None, PLAIN, FAILS),
    "a key that retires now": ([f"{VKEY} until 2"], None, PLAIN, HOLDS),
    "a key that retires in a long time": ([f"{VKEY} until {2**64 - 1}"], None, PLAIN, HOLDS),
    "a key that retires too late": ([f"{VKEY} until {2**64}"], None, PLAIN, REFUSED),
    "a key until 02": ([f"{VKEY} until 02"], None, PLAIN, REFUSED),
    "a key until nothing": ([f"{VKEY} until"], None, PLAIN, REFUSED),
    "a key and another word": ([f"{VKEY} since 1"], None, PLAIN, REFUSED),
    "a key with tabs": ([f"\t{VKEY}\tuntil  2 "], None, PLAIN, HOLDS),
    "a key behind U+00A0": ([f"\xa0{VKEY}"], None, PLAIN, REFUSED),
    "a key twice, once retired": ([VKEY, f"{VKEY} until 1"], None, PLAIN, FAILS),
    "a key twice, first retired": ([f"{VKEY} until 1", VKEY], None, PLAIN, FAILS),
    "an id in upper case": ([VKEY.replace(KEY.key.key_id.hex(), KEY.key.key_id.hex().upper())], None, PLAIN, REFUSED),
    "an empty key": ([""], None, PLAIN, REFUSED),
    "a key of small order": ([WEAK], None, PLAIN, REFUSED),
    "a file of keys": ([], KEYS.encode(), PLAIN, HOLDS),
    "a file of keys with CRLF": ([], KEYS.replace("\n", "\r\n").encode(), PLAIN, HOLDS),
    "a file of keys with a comment that is no UTF-8": ([], b"# \xff\n" + KEYS.encode(), PLAIN, HOLDS),
    "a file of keys that are no UTF-8": ([], KEYS.encode().replace(b"+", b"\xff+", 1), PLAIN, REFUSED),
    "an empty file": ([], b"", PLAIN, REFUSED),
    "a file of a comment": ([], b"# nothing\n", PLAIN, REFUSED),
    "a policy": ([], POLICY.encode(), COSIGNED, HOLDS),
    "a policy that nobody cosigned for": ([], POLICY.encode(), PLAIN, FAILS),
    "a policy beside a key": ([VKEY], POLICY.encode(), COSIGNED, REFUSED),
    "a policy without logs beside a key": ([VKEY], NO_LOG.encode(), COSIGNED, HOLDS),
    "a policy without logs beside a stranger's key": ([str(STRANGER.key)], NO_LOG.encode(), COSIGNED, FAILS),
    "a policy without logs that nobody cosigned for": ([VKEY], NO_LOG.encode(), PLAIN, FAILS),
    "a policy without logs and no key": ([], NO_LOG.encode(), COSIGNED, REFUSED),
    "a policy with CRLF": ([], POLICY.replace("\n", "\r\n").encode(), COSIGNED, REFUSED),
    "a policy whose log is its witness": (
        [],
        f"log {VKEY}\nwitness w {AS_WITNESS}\nquorum w\n".encode(),
        COSIGNED,
        REFUSED,
    ),
    "a policy whose witness is its log": (
        [],
        f"witness w {AS_WITNESS}\nlog {VKEY}\nquorum w\n".encode(),
        COSIGNED,
        REFUSED,
    ),
    "a policy whose ML-DSA-44 log is its witness": (
        [],
        f"log {PQ.key}\nwitness w {PQ_WITNESS.key}\nquorum none\n".encode(),
        COSIGNED,
        REFUSED,
    ),
    "a policy with a witness twice": (
        [],
        f"log {VKEY}\nwitness a {WITNESSES[0].key}\nwitness b {WITNESSES[0].named('x').key}\nquorum a\n".encode(),
        COSIGNED,
        REFUSED,
    ),
    "a policy with a log twice": ([], f"log {VKEY}\nlog {KEY.named('x').key}\nquorum none\n".encode(), PLAIN, REFUSED),
    "a key of ML-DSA-44 that did not sign": ([str(PQ.key), VKEY], None, PLAIN, HOLDS),
}


@pytest.mark.parametrize("name", TRUSTED)
def test_whose_signature_counts_is_judged_alike(name: str, javascript: JavaScript, tmp_path: Path) -> None:
    keys, file, note, expected = TRUSTED[name]
    case: dict[str, Any] = {"what": "checkpoint", "ledger": LEDGER, "keys": keys, "data": note.encode()}
    if file is not None:
        case["keyFile"] = file
    told = both(case, javascript, tmp_path)
    assert told[0] == expected, told


def test_there_are_many_cases() -> None:
    assert len(CASES) + len(ABSENCES) + len(TRUSTED) > 200
