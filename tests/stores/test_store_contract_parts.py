"""What every store keeps: outputs of any size, and erasing sealed parts."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from support.contract import ENTRY, Chance, Clock, StoreUnderTest, leaves, naive_head, nothing_written, refused
from tallystick import Entry, InputError, Ledger, NotFoundError
from tallystick.model.record import PARTS

KIB, MIB = 1 << 10, 1 << 20


def noise(count: int) -> bytes:
    """Bytes that cannot be compressed."""
    return Chance(b"noise")(count)


def record(ledger: Ledger, position: int) -> dict[str, object]:
    fields = json.loads(leaves(ledger, "t")[position])
    assert isinstance(fields, dict)
    return fields


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *(("noise", size) for size in (1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB, MIB + 1, 2 * MIB)),
        *(("zeros", size) for size in (64 * KIB, 2 * MIB + 1)),
    ],
)
def test_an_output_of_any_size_comes_back(store: StoreUnderTest, ledger: Ledger, size: int, kind: str) -> None:
    output = noise(size) if kind == "noise" else bytes(size)
    ledger.append("t", [ENTRY, Entry(type="run", output=output), ENTRY])
    assert ledger.output("t", 2) == output
    assert ledger.output("t", 1) == b""
    outputs = [recorded.entry.output_bytes for recorded in ledger.entries("t")]
    assert outputs == [b"", output, b""]
    assert [recorded.entry.output_bytes for recorded in ledger.entries("t", outputs=False)] == [b""] * 3
    assert record(ledger, 2)["output_size"] == size
    (pieces,) = store.sql("SELECT count(*) FROM artifact")[0]
    assert pieces == (0 if size <= 64 * KIB else -(-size // MIB))
    ledger.verify()


@pytest.mark.parametrize("store", [pytest.param("postgres", marks=pytest.mark.storm), "sqlite"], indirect=True)
def test_the_middle_of_a_huge_output_is_dropped_and_said_so(ledger: Ledger) -> None:
    block = noise(MIB)
    output = b"".join(n.to_bytes(4, "big") + block[4:] for n in range(70))
    ledger.append("t", Entry(type="run", output=output, details={"a": 1}))
    kept = ledger.output("t", 1)
    assert len(kept) == 64 * MIB
    assert kept[: 32 * MIB] == output[: 32 * MIB]
    assert kept[32 * MIB :] == output[-32 * MIB :]
    details = ledger.entry("t", 1, outputs=False).entry.details
    assert details == {"a": 1, "output": {"dropped_at": 32 * MIB, "dropped": 6 * MIB}}
    assert record(ledger, 1)["output_size"] == 70 * MIB
    ledger.verify()


def test_what_a_record_commits_to(store: StoreUnderTest) -> None:
    ledger = store.open(clock=Clock(), random=Chance(b"salts"))
    ledger.append("t", ENTRY.replace(output=b"out", details={"b": 1, "a": 2}))
    key = ledger.store.find("t")
    assert key is not None
    row = ledger.store.row(key, 1)
    assert row is not None
    sealed = row.sealed
    assert sealed.text == b'{"reason":"shown","command":"true"}'
    assert sealed.details == b'{"a":2,"b":1}'
    assert sealed.output == b"out"
    for part in PARTS:
        salt, data = getattr(sealed, f"{part}_salt"), getattr(sealed, part)
        assert len(salt) == 16
        assert record(ledger, 1)[part] == sha256(salt + data).hexdigest()


def test_equal_entries_have_different_salts(ledger: Ledger) -> None:
    ledger.append("t", [ENTRY, ENTRY])
    ledger.append("u", ENTRY)
    key = ledger.store.find("t")
    assert key is not None
    rows = [ledger.store.row(key, position) for position in (1, 2)]
    salts = {row.sealed.text_salt for row in rows if row is not None}
    assert len(salts) == 2
    assert record(ledger, 1)["text"] != record(ledger, 2)["text"]


FULL = ENTRY.replace(output="printed secret", details={"token": "secret"}, reason="secret reason")


@pytest.mark.parametrize("parts", [("text",), ("details",), ("output",), ("output", "text"), PARTS])
def test_an_erased_part_is_gone_and_the_proofs_hold(
    store: StoreUnderTest, ledger: Ledger, parts: tuple[str, ...]
) -> None:
    ledger.append("t", [FULL, FULL, ENTRY])
    before = ledger.head("t")
    stored = leaves(ledger, "t")
    head = ledger.erase("t", 2, parts, reason="leaked", actor="me")
    assert head == naive_head(ledger, "t")
    assert head.position == 4
    assert leaves(ledger, "t")[:4] == stored
    ledger.verify("t", head=before)
    assert ledger.verify()[0].erased == len(parts)

    erased = ledger.entry("t", 2)
    assert set(erased.erased) == set(parts)
    expected = FULL.replace(id="entry-2", recorded_at=erased.entry.recorded_at)
    for part in parts:
        gone = {"text": {"reason": "", "command": ""}, "details": {"details": None}, "output": {"output": ""}}[part]
        expected = expected.replace(**gone)
    assert erased.entry == expected
    assert ledger.entry("t", 1).entry.reason == "secret reason"

    redaction = ledger.entry("t", 4).entry
    assert (redaction.type, redaction.reason, redaction.details) == ("redaction", "leaked", {"actor": "me"})
    assert record(ledger, 4)["erases"] == [2, list(parts)]
    state = ledger.state("t").criteria["ac1"]
    assert state.position == 3
    ledger = store.reopen()
    ledger.verify()
    assert set(ledger.entry("t", 2).erased) == set(parts)


def test_an_erased_reason_replays_as_empty(ledger: Ledger) -> None:
    ledger.append("t", FULL)
    assert ledger.state("t").criteria["ac1"].reason == "secret reason"
    ledger.erase("t", 1, ["text"], reason="leaked")
    assert ledger.state("t").criteria["ac1"].reason == ""
    assert ledger.session("t").criterion_states["ac1"].reason == ""


def test_a_large_output_is_erased_piece_by_piece(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", [Entry(type="run", output=noise(2 * MIB)), Entry(type="run", output=noise(MIB))])
    ledger.erase("t", 1, ["output"], reason="leaked")
    assert ledger.output("t", 1) == b""
    assert ledger.entry("t", 1).erased == ("output",)
    assert ledger.output("t", 2) == noise(MIB)
    assert store.sql("SELECT count(*) FROM artifact") == [(1,)]
    ledger.verify()


def test_a_redaction_can_itself_be_erased(ledger: Ledger) -> None:
    ledger.append("t", FULL)
    ledger.erase("t", 1, reason="contains the secret again")
    ledger.erase("t", 2, ["text"], reason="leaked")
    assert ledger.entry("t", 2).entry.reason == ""
    assert ledger.verify()[0].erased == 4


def test_what_cannot_be_erased_is_refused(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", [FULL, Entry(type="note")])
    ledger.erase("t", 1, ["output"], reason="leaked")
    for task_id, position in (("absent", 1), ("t", 4), ("t", 99)):
        with refused(store, NotFoundError):
            ledger.erase(task_id, position, ["text"], reason="x")
    for position in (0, -1, 2**70, -(2**70)):
        with refused(store, NotFoundError):
            ledger.erase("t", position, ["text"], reason="x")
    with refused(store, InputError, "no output"):
        ledger.erase("t", 1, ["text", "output"], reason="x")
    with refused(store, InputError, "no text and no details"):
        ledger.erase("t", 2, ["text", "details"], reason="x")
    for parts in ((), ("record",), ("text", "salt"), ("text; DROP TABLE record",)):
        with refused(store, InputError, "parts are text, details, output"):
            ledger.erase("t", 1, parts, reason="x")
    ledger.erase("t", 1, ["text", "text"], reason="twice named, once erased")


def test_reading_never_returns_what_was_erased_meanwhile(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", [FULL, *[ENTRY] * 600, FULL])
    reading = ledger.entries("t")
    assert next(reading).entry.reason == "secret reason"
    store.open().erase("t", 602, reason="leaked")
    *_, last = reading
    assert (last.position, last.entry.reason, last.entry.output) == (602, "", "")
    with nothing_written(store):
        ledger.verify()
