"""What every store keeps: appending, order, heads, reading and replay."""

from __future__ import annotations

import threading

import pytest

from support.contract import (
    ENTRY,
    Clock,
    StoreUnderTest,
    leaves,
    naive_head,
    nothing_written,
    refused,
)
from tallystick import (
    ConcurrencyError,
    Entry,
    Head,
    InputError,
    Ledger,
    NotFoundError,
    StoreUnavailableError,
)
from tallystick.model import replay
from tallystick.model.header import decode_header


def numbered(count: int, start: int = 1) -> list[Entry]:
    return [
        Entry(
            type=("criterion", "note", "phase")[n % 3],
            criterion_id=f"ac{n % 4}" if n % 2 else "",
            phase_id=f"p{n % 5}" if n % 3 == 2 else "",
            status=("pass", "fail", "")[n % 3],
            reason=f"reason {n}",
            exit_code=n % 7,
            output=f"line {n}\n",
            details={"n": n},
        )
        for n in range(start, start + count)
    ]


def test_an_entry_comes_back_as_it_was_given(ledger: Ledger) -> None:
    given = Entry(
        id="e1",
        type="criterion",
        recorded_at="2026-01-01T00:00:00Z",
        criterion_id="ac1",
        phase_id="build",
        status="fail",
        reason="it broke\n\x1b[31m…",
        provider="ci",
        command="make 'a b'",
        exit_code=-11,
        output=b"\xff\x00raw",
        path="src/ü.py",
        details={"b": [1, 2.5, None, True, {"ü": "€"}], "a": -(2**53)},
    )
    head = ledger.append("t", given)
    (recorded,) = ledger.entries("t")
    assert (recorded.position, recorded.entry, recorded.erased) == (1, given, ())
    assert recorded.entry.output_bytes == b"\xff\x00raw"
    assert ledger.entry("t", 1) == recorded
    assert head == ledger.head("t") == naive_head(ledger, "t")


def test_heads_and_roots_are_those_of_the_naive_tree(ledger: Ledger) -> None:
    heads = [ledger.append("t", entry) for entry in numbered(35)]
    assert [head.position for head in heads] == list(range(1, 36))
    stored = leaves(ledger, "t")
    for head in heads:
        assert head == naive_head(ledger, "t", head.position) == ledger.root_at("t", head.position)
    assert ledger.root_at("t", 0) == naive_head(ledger, "t", 0)
    assert len(stored) == 36
    assert ledger.verify("t")[0].head == heads[-1]


def test_many_in_one_call_are_as_many_calls(store: StoreUnderTest) -> None:
    ledger = store.open(clock=Clock())
    for entry in numbered(9):
        ledger.append("one", entry)
    head = ledger.append("many", numbered(4))
    assert head.position == 4
    assert ledger.append("many", iter(numbered(5, 5))).position == 9
    assert [r.entry for r in ledger.entries("one")] == [r.entry for r in ledger.entries("many")]
    assert ledger.state("one").criteria == ledger.state("many").criteria
    ledger.verify()


def test_a_batch_goes_in_whole_or_not_at_all(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    with refused(store, InputError, "NaN"):
        ledger.append("t", [ENTRY, Entry(type="note", details={"x": float("nan")}), ENTRY])
    with refused(store, InputError, "nothing to append"):
        ledger.append("t", [])
    with refused(store, InputError, "65535"):
        ledger.append("new", [ENTRY, Entry(type="note", status="x" * 65_535)])
    assert [state.task_id for state in ledger.tasks()] == ["t"]


def test_defaults_are_written_into_the_record(store: StoreUnderTest) -> None:
    clock = Clock()
    ledger = store.open(clock=clock)
    ledger.append("t", [Entry(type="note"), Entry(type="note", id="mine", recorded_at="yesterday")])
    first, second = ledger.entries("t")
    assert (first.entry.id, first.entry.recorded_at, first.at) == ("entry-1", clock(), clock())
    assert (second.entry.id, second.entry.recorded_at, second.at) == ("mine", "yesterday", clock())
    assert b'"id":"entry-1"' in leaves(ledger, "t")[1]


def test_the_header_names_ledger_and_task(store: StoreUnderTest) -> None:
    clock = Clock()
    ledger = store.open(clock=clock)
    ledger.append("t/ü", ENTRY)
    expected = (
        f'{{"v":1,"kind":"session","at":"{clock()}","ledger":"{ledger.ledger_id}",'
        f'"task_id":"t/ü","created_at":"{clock()}","rules":1}}'
    )
    assert leaves(ledger, "t/ü")[0].decode() == expected
    assert decode_header(leaves(ledger, "t/ü")[0]).task_id == "t/ü"


def test_the_time_of_a_session_never_goes_back(store: StoreUnderTest) -> None:
    clock = Clock(100)
    ledger = store.open(clock=clock)
    for minute in (100, 50, 101, 0, 101, 102):
        clock.minute = minute
        ledger.append("t", ENTRY)
    clock.minute = 30
    ledger.append("other", ENTRY)
    times = [recorded.at for recorded in ledger.entries("t")]
    assert times == [Clock(m)() for m in (100, 100, 101, 101, 101, 102)]
    assert ledger.entry("other", 1).at == clock()
    ledger.verify()


def test_expected_position(store: StoreUnderTest, ledger: Ledger) -> None:
    assert ledger.append("t", ENTRY, expected_position=0).position == 1
    for wrong in (0, 2):
        with refused(store, ConcurrencyError) as caught:
            ledger.append("t", ENTRY, expected_position=wrong)
        assert (caught.value.expected, caught.value.actual) == (wrong, 1)
    with refused(store, ConcurrencyError) as caught:
        ledger.append("new", ENTRY, expected_position=3)
    assert (caught.value.expected, caught.value.actual) == (3, 0)
    assert ledger.append("t", [ENTRY, ENTRY], expected_position=1).position == 3


def test_state_is_what_replay_gives(ledger: Ledger) -> None:
    for entry in numbered(40):
        ledger.append("t", entry)
    session = ledger.session("t")
    state = ledger.state("t")
    assert state.criteria == dict(session.criterion_states)
    assert state.phases == dict(session.phase_blocks)
    assert list(state.criteria) == sorted(state.criteria)
    assert replay(session) == session
    assert state.head == ledger.head("t")
    assert session.updated_at == session.entries[-1].recorded_at


def test_a_session_as_it_stood(store: StoreUnderTest) -> None:
    clock = Clock(0)
    ledger = store.open(clock=clock)
    for minute in (10, 20, 20, 40, 30):
        clock.minute = minute
        ledger.append("t", numbered(1, minute))
    whole = ledger.session("t")
    for position in range(6):
        prefix = replay(whole.replace(entries=whole.entries[:position], updated_at=whole.created_at))
        assert ledger.session("t", at=position) == prefix
    at_minute = {5: 0, 9: 0, 10: 1, 19: 1, 20: 3, 39: 3, 40: 5, 99: 5}
    for minute, position in at_minute.items():
        assert ledger.position_at("t", Clock(minute)()) == position
        assert len(ledger.session("t", at=Clock(minute)()).entries) == position
    assert len(ledger.session("t", at="2026-01-01T02:20:00+02:00").entries) == 3
    for beyond in (-1, 6):
        with pytest.raises(NotFoundError):
            ledger.session("t", at=beyond)
    for nonsense in ("yesterday", "", "0001-01-01T00:00:00+23:59"):
        with pytest.raises(InputError, match="is not a time"):
            ledger.session("t", at=nonsense)


def test_ranges_of_entries(ledger: Ledger) -> None:
    ledger.append("t", numbered(20))

    def positions(*bounds: int, **options: bool) -> list[int]:
        return [recorded.position for recorded in ledger.entries("t", *bounds, **options)]

    assert positions() == list(range(1, 21))
    assert positions(5) == list(range(5, 21))
    assert positions(5, 7) == [5, 6, 7]
    assert positions(-3, 2) == [1, 2]
    assert positions(19, 99) == [19, 20]
    assert positions(21) == positions(3, 2) == []
    assert positions(1, 3, outputs=False) == [1, 2, 3]
    bare = next(ledger.entries("t", outputs=False)).entry
    assert (bare.output, bare.reason, bare.details) == ("", "reason 1", {"n": 1})


def test_reading_sees_the_head_it_began_with(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", numbered(3))
    reading = ledger.entries("t")
    first = next(reading)
    store.open().append("t", numbered(2))
    assert [first.position, *(recorded.position for recorded in reading)] == [1, 2, 3]


def test_tasks_are_listed_with_their_heads(ledger: Ledger) -> None:
    names = ["b", "a", "ü/🎋", "a b", "x" * 512]
    heads = {name: ledger.append(name, numbered(n + 1)) for n, name in enumerate(names)}
    listed = list(ledger.tasks())
    assert [state.task_id for state in listed] == names
    assert {state.task_id: state.head for state in listed} == heads
    assert {state.ledger_id for state in listed} == {ledger.ledger_id}


@pytest.mark.parametrize("call", ["head", "state", "session", "verify", "output", "entry", "entries", "root_at"])
@pytest.mark.parametrize("task_id", ["absent", "", "\0", "\ud800"])
def test_an_unknown_task_is_named(
    lasting_store: StoreUnderTest, lasting_ledger: Ledger, call: str, task_id: str
) -> None:
    position = [1] if call in ("output", "entry", "root_at") else []
    with refused(lasting_store, NotFoundError, "no such task"):
        found = getattr(lasting_ledger, call)(task_id, *position)
        list(found)


def test_unknown_positions_are_named(ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    for position in (-1, 0, 2, 2**32, 2**70):
        with pytest.raises(NotFoundError, match="position"):
            ledger.entry("t", position)
    for position in (-1, 2, 2**70):
        with pytest.raises(NotFoundError, match="position"):
            ledger.root_at("t", position)


def test_what_was_appended_is_there_after_reopening(store: StoreUnderTest, ledger: Ledger) -> None:
    head = ledger.append("t", numbered(10))
    ledger_id, session = ledger.ledger_id, ledger.session("t")
    ledger = store.reopen()
    assert (ledger.ledger_id, ledger.head("t"), ledger.session("t")) == (ledger_id, head, session)
    assert ledger.append("t", ENTRY).position == 11
    ledger.verify()


def test_two_ledgers_on_one_store_see_each_other(store: StoreUnderTest, ledger: Ledger) -> None:
    other = store.open()
    for turn in range(1, 21, 2):
        assert ledger.append("t", ENTRY).position == turn
        assert other.append("t", ENTRY).position == turn + 1
        assert other.append(f"task {turn}", ENTRY).position == 1
        assert ledger.append(f"task {turn}", ENTRY).position == 2
    assert ledger.head("t") == other.head("t") == naive_head(ledger, "t")
    ledger.verify()


def test_threads_append_side_by_side(ledger: Ledger) -> None:
    heads: list[Head] = []

    def work(thread: int) -> None:
        for turn in range(10):
            heads.append(ledger.append("t", Entry(type="note", id=f"{thread}.{turn}")))
            ledger.append(f"own {thread}", ENTRY)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(head.position for head in heads) == list(range(1, 81))
    for head in heads:
        assert head == ledger.root_at("t", head.position)
    ids = [recorded.entry.id for recorded in ledger.entries("t")]
    assert sorted(ids) == sorted(f"{thread}.{turn}" for thread in range(8) for turn in range(10))
    for thread in range(8):
        own = [one for one in ids if one.startswith(f"{thread}.")]
        assert own == [f"{thread}.{turn}" for turn in range(10)]
    ledger.verify()


def test_a_head_that_was_seen_must_be_extended(ledger: Ledger) -> None:
    seen = [ledger.append("t", entry) for entry in numbered(20)]
    for head in [ledger.root_at("t", 0), *seen]:
        ledger.verify("t", head=head)
        ledger.verify("t", head=str(head))
        assert Head.parse(str(head)) == head
    with pytest.raises(InputError, match="one task"):
        ledger.verify(head=seen[0])
    for text in ("", "5", "5:", "x:" + "0" * 64, "5:" + "G" * 64, "-1:" + "0" * 64, "٣:" + "0" * 64):
        with pytest.raises(InputError, match="not a head"):
            ledger.verify("t", head=text)


def test_verification_reports_progress(ledger: Ledger) -> None:
    ledger.append("t", numbered(1500))
    done: list[int] = []
    verified = ledger.verify("t", progress=done.append)
    assert sum(done) == 1500
    assert verified[0].head == ledger.head("t")


def test_a_ledger_that_is_not_there_is_not_made_by_reading(store: StoreUnderTest) -> None:
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(NotFoundError):
            store.open(**options)
    ledger = store.open()
    assert len(ledger.ledger_id) == 32
    assert set(ledger.ledger_id) <= set("0123456789abcdef")
    assert list(ledger.tasks()) == []
    assert ledger.verify() == []


def test_read_only_reads_and_refuses_to_write(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    reader = store.open(read_only=True)
    assert reader.session("t") == ledger.session("t")
    reader.verify()
    with refused(store, StoreUnavailableError, "for reading"):
        reader.append("t", ENTRY)
    with refused(store, StoreUnavailableError, "for reading"):
        reader.erase("t", 1, reason="no")


def test_a_closed_ledger_says_so(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.append("t", ENTRY)
    ledger.close()
    ledger.close()
    with nothing_written(store):
        for call in (
            lambda: ledger.append("t", ENTRY),
            lambda: ledger.head("t"),
            lambda: ledger.session("t"),
            lambda: list(ledger.tasks()),
            lambda: ledger.verify(),
            lambda: ledger.erase("t", 1, reason="x"),
        ):
            with pytest.raises(StoreUnavailableError, match="closed"):
                call()
    with store.open() as again:
        assert again.head("t").position == 1
    with pytest.raises(StoreUnavailableError, match="closed"):
        again.head("t")
