"""What every store keeps: sessions that were made elsewhere."""

from __future__ import annotations

import pytest

from support.contract import ENTRY, Clock, StoreUnderTest, leaves, naive_head, nothing_written, refused
from tallystick import Entry, InputError, Ledger, Session
from tallystick.model import Origin, Rules, replay

ORIGIN = Origin(format="scafld", dialect="2.5", schema_version=1, updated_at="u", entries="", ledger_error="broken")
ENTRIES = (
    Entry(type="", id=""),
    Entry(type="criterion", criterion_id="ac1", status="fail", recorded_at="later"),
    Entry(type="criterion", criterion_id="ac1", status="pass", recorded_at="earlier", id="twice"),
    Entry(type="review", phase_id="p1", id="twice", reason="r", output="o", details={"scafld": {"n": 2**62}}),
    Entry(type="phase", phase_id="p2", id="id with\nspace and -dash"),
)


def made(entries: tuple[Entry, ...] = ENTRIES, **fields: object) -> Session:
    known = {"task_id": "t", "created_at": "long ago", "rules": Rules.V2, "origin": ORIGIN, "updated_at": "u"}
    return replay(Session(entries=entries, **{**known, **fields}))


def test_an_imported_session_is_the_one_that_was_given(store: StoreUnderTest) -> None:
    clock = Clock(7)
    ledger = store.open(clock=clock)
    head = ledger.import_session(made())
    assert ledger.session("t") == made()
    assert head == ledger.head("t") == naive_head(ledger, "t")
    assert head.position == 5
    header = leaves(ledger, "t")[0].decode()
    assert header == (
        f'{{"v":1,"kind":"session","at":"{clock()}","ledger":"{ledger.ledger_id}","task_id":"t",'
        '"created_at":"long ago","rules":2,"origin":{"format":"scafld","dialect":"2.5","schema_version":1,'
        '"updated_at":"u","ledger_error":"broken"}}'
    )
    assert ledger.state("t").criteria == dict(made().criterion_states)
    assert ledger.state("t").phases == dict(made().phase_blocks)
    assert set(ledger.state("t").phases) == {"p2"}
    ledger.verify()


def test_no_defaults_are_filled(ledger: Ledger) -> None:
    ledger.import_session(made())
    first = ledger.entry("t", 1)
    assert first.entry == Entry()
    assert leaves(ledger, "t")[1].decode() == f'{{"v":1,"kind":"entry","at":"{first.at}"}}'
    grown = (*ENTRIES, Entry(status="new"))
    ledger.import_session(made(grown))
    assert ledger.entry("t", 6).entry == Entry(status="new")


def test_importing_again_changes_nothing(store: StoreUnderTest, ledger: Ledger) -> None:
    head = ledger.import_session(made())
    with nothing_written(store):
        assert ledger.import_session(made()) == head
    with refused(store, InputError, "entry 4 was recorded here and is not in it"):
        ledger.import_session(made(ENTRIES[:3]))


def test_a_grown_session_appends_what_is_new(ledger: Ledger) -> None:
    for count in range(6):
        head = ledger.import_session(made(ENTRIES[:count]))
        assert head == naive_head(ledger, "t")
        assert head.position == count
        assert ledger.session("t").entries == ENTRIES[:count]
    assert ledger.session("t") == made()
    ledger.verify()


@pytest.mark.parametrize("position", [1, 3, 5])
def test_the_position_that_differs_is_named(store: StoreUnderTest, ledger: Ledger, position: int) -> None:
    ledger.import_session(made())
    changed = list(ENTRIES)
    changed[position - 1] = changed[position - 1].replace(reason="changed")
    with refused(store, InputError, f"entry {position} differs"):
        ledger.import_session(made((*changed, ENTRY)))


def test_after_an_entry_of_our_own_growth_is_refused(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.import_session(made())
    ledger.append("t", ENTRY)
    with refused(store, InputError, "entry 6 differs"):
        ledger.import_session(made((*ENTRIES, Entry(type="note"))))
    with refused(store, InputError, "entry 6 was recorded here and is not in it"):
        ledger.import_session(made())


def test_a_session_that_began_at_another_time_is_another_one(store: StoreUnderTest, ledger: Ledger) -> None:
    ledger.import_session(made())
    with refused(store, InputError, "created at recently, the one that is recorded at long ago"):
        ledger.import_session(made(created_at="recently"))


def test_how_entries_compare_is_the_callers_choice(ledger: Ledger) -> None:
    ledger.import_session(made())
    changed = (ENTRIES[0], ENTRIES[1].replace(provider="ignored"), *ENTRIES[2:], ENTRY)
    head = ledger.import_session(made(changed), comparable=lambda entry: entry.replace(provider=""))
    assert head.position == 6
    assert ledger.entry("t", 2).entry == ENTRIES[1]


def test_an_empty_session_has_a_head(ledger: Ledger) -> None:
    head = ledger.import_session(made((), origin=ORIGIN.replace(entries="null")))
    assert head == naive_head(ledger, "t") == ledger.head("t")
    assert head.position == 0
    assert ledger.session("t").entries == ()
    assert ledger.session("t").origin == ORIGIN.replace(entries="null")
    assert ledger.append("t", ENTRY, expected_position=0).position == 1
    ledger.verify()


def test_our_own_entries_fill_defaults_in_an_imported_session(store: StoreUnderTest) -> None:
    ledger = store.open(clock=Clock(3))
    ledger.import_session(made())
    ledger.append("t", Entry(type="note", phase_id="p9"))
    own = ledger.entry("t", 6).entry
    assert (own.id, own.recorded_at) == ("entry-6", Clock(3)())
    assert "p9" not in ledger.state("t").phases


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"task_id": ""}, "task id is empty"),
        ({"task_id": "a\0b"}, "NUL"),
        ({"task_id": "\ud800"}, "surrogate"),
        ({"task_id": "x" * 513}, "513 bytes"),
        ({"created_at": "x" * 70_000}, "header would be"),
        ({"created_at": 5}, "created_at .* int"),
        ({"origin": ORIGIN.replace(schema_version="1")}, "schema_version"),
        ({"origin": ORIGIN.replace(dialect=2.5)}, "dialect"),
        ({"entries": (Entry(id="a\0"),)}, "id has a NUL"),
        ({"entries": (*ENTRIES, Entry(type="\0"))}, "type has a NUL"),
        ({"entries": (*ENTRIES, Entry(status="x" * 70_000))}, "record would be"),
        ({"entries": (*ENTRIES, Entry(details={"x": float("inf")}))}, "NaN and infinities"),
    ],
)
def test_what_a_ledger_cannot_hold_is_refused_whole(
    store: StoreUnderTest, ledger: Ledger, fields: dict[str, object], words: str
) -> None:
    ledger.append("other", ENTRY)
    session = made()
    with refused(store, InputError, words):
        ledger.import_session(session.replace(**fields))


def test_lone_surrogates_become_replacement_characters(ledger: Ledger) -> None:
    odd = made(
        (Entry(type="a\ud800", reason="\udfff"),), created_at="c\ud834", origin=ORIGIN.replace(updated_at="\udc00")
    )
    ledger.import_session(odd)
    session = ledger.session("t")
    assert (session.created_at, session.origin.updated_at) == ("c\ufffd", "\ufffd")
    assert (session.entries[0].type, session.entries[0].reason) == ("a\ufffd", "\ufffd")
    ledger.verify()


def test_an_import_races_another(store: StoreUnderTest, ledger: Ledger) -> None:
    import threading

    ledgers = [store.open() for _ in range(4)]
    outcomes: list[object] = []

    def work(one: Ledger) -> None:
        try:
            outcomes.append(one.import_session(made()))
        except InputError as error:
            outcomes.append(error.what)

    threads = [threading.Thread(target=work, args=(one,)) for one in ledgers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(map(str, outcomes)) <= {str(ledger.head("t")), "the task already has a session"}
    assert ledger.session("t") == made()
    ledger.verify()
