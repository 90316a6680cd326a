"""Bundles: written, verified as a stream, read as a ledger, kept beside our own sessions."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick import Entry, InputError, Ledger, StoreUnavailableError, TallystickError
from tallystick.exchange.bundle import write_bundle
from tallystick.stores.bundle import open_bundle, require_complete
from tallystick.stores.bundle_lines import lines_of
from tallystick.stores.bundle_reader import verify_bundle


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        for number in range(20):
            output = b"\xff" * 3_000_000 if number == 4 else f"printed {number}\n".encode()
            ledger.append("t", Entry(type="criterion", criterion_id="ac1", status="pass", output=output, reason="r"))
        ledger.erase("t", 2, ["text", "output"], reason="leaked")
        yield ledger


def _bundle(ledger: Ledger, path: Path, **options: object) -> Path:
    path.write_bytes(b"".join(write_bundle(ledger, "t", **options)))  # type: ignore[arg-type]
    return path


def test_a_bundle_leads_to_the_head(ledger: Ledger, tmp_path: Path) -> None:
    verdict = verify_bundle(lines_of(str(_bundle(ledger, tmp_path / "b", artifacts=True))))
    assert verdict.head == ledger.head("t")
    assert (verdict.erased, verdict.omitted, verdict.note) == (2, 0, None)


def test_large_outputs_are_left_out_unless_asked_for(ledger: Ledger, tmp_path: Path) -> None:
    verdict = verify_bundle(lines_of(str(_bundle(ledger, tmp_path / "b"))))
    assert verdict.omitted == 1
    verdict = verify_bundle(lines_of(str(_bundle(ledger, tmp_path / "c", omit=["text", "output"]))))
    assert verdict.omitted == 20 + 19


def test_a_bundle_reads_as_a_ledger(ledger: Ledger, tmp_path: Path) -> None:
    path = _bundle(ledger, tmp_path / "t.bundle", artifacts=True)
    with Ledger.open(str(path)) as bundle:
        assert bundle.session("t") == ledger.session("t")
        assert bundle.state("t").criteria == ledger.state("t").criteria
        assert bundle.output("t", 5) == b"\xff" * 3_000_000
        bundle.verify()
        with pytest.raises(StoreUnavailableError, match="never written to"):
            bundle.append("t", Entry(type="note"))


def test_it_is_kept_beside_ours_and_goes_on(ledger: Ledger, tmp_path: Path) -> None:
    short = open_bundle(str(_bundle(ledger, tmp_path / "short", artifacts=True)))
    ledger.append("t", Entry(type="note", reason="more"))
    long = open_bundle(str(_bundle(ledger, tmp_path / "long", artifacts=True)))
    with Ledger.open(str(tmp_path / "own.db")) as own:
        own.append("t", Entry(type="note", reason="ours"))
        for store, fresh in ((short, 21), (short, 0), (long, 1), (short, 0)):
            assert own.store.adopt(store, next(store.sessions())) == fresh  # type: ignore[attr-defined]
        own.verify()
        assert own.head("t", ledger_id=ledger.ledger_id) == ledger.head("t")
        assert [one.head.position for one in own.tasks()] == [1, 22]
        with pytest.raises(InputError, match="very ledger"):
            ledger.store.adopt(long, next(long.sessions()))  # type: ignore[attr-defined]


def test_another_history_of_a_kept_session_is_a_fork(ledger: Ledger, tmp_path: Path) -> None:
    ledger.store.backup(str(tmp_path / "then.db"))  # type: ignore[attr-defined]
    ledger.append("t", Entry(type="note", reason="one way"))
    one = open_bundle(str(_bundle(ledger, tmp_path / "one", artifacts=True)))
    with Ledger.open(str(tmp_path / "then.db")) as restored:
        restored.append("t", Entry(type="note", reason="another way"))
        other = open_bundle(str(_bundle(restored, tmp_path / "other", artifacts=True)))
    with Ledger.open(str(tmp_path / "own.db")) as own:
        own.store.adopt(one, next(one.sessions()))  # type: ignore[attr-defined]
        with pytest.raises(InputError, match=r"a fork.*position 22"):
            own.store.adopt(other, next(other.sessions()))  # type: ignore[attr-defined]
        own.verify()
        assert own.head("t", ledger_id=ledger.ledger_id) == ledger.head("t")


def test_a_bundle_with_parts_left_out_is_not_kept(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="left out"):
        require_complete(open_bundle(str(_bundle(ledger, tmp_path / "b"))))


@given(st.data())
def test_nothing_but_our_own_errors(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lines = _SMALL or _small(tmp_path_factory)
    text = bytearray(b"".join(lines))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        what = data.draw(st.sampled_from(["flip", "drop", "insert", "cut"]))
        if what == "flip":
            text[place] ^= 1 << data.draw(st.integers(0, 7))
        elif what == "drop":
            del text[place : place + data.draw(st.integers(1, 40))]
        elif what == "insert":
            text[place:place] = data.draw(st.sampled_from(INSERTED))
        else:
            del text[place:]
        if not text:
            break
    try:
        verdict = verify_bundle(bytes(text).splitlines(keepends=True))
    except TallystickError:
        return
    assert verdict.head == verify_bundle(lines).head


INSERTED = (b"{", b"}", b'"', b"\n", b"\xff", b"1e999", b"[" * 300, b"null")
_SMALL: list[bytes] = []


def _small(factory: pytest.TempPathFactory) -> list[bytes]:
    with Ledger.open(str(factory.mktemp("small") / "ledger.db")) as ledger:
        ledger.append("t", [Entry(type="note", reason=f"r{n}", output="o", details={"n": n}) for n in range(3)])
        _SMALL.extend(write_bundle(ledger, "t"))
    return _SMALL


def test_a_long_line_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(InputError, match="over"):
        verify_bundle([b"{" + b" " * (5 << 20) + b"}\n"])


def test_verifying_looks_nothing_up(ledger: Ledger, tmp_path: Path) -> None:
    path = _bundle(ledger, tmp_path / "b")
    program = (
        "import sys\n"
        "def hook(event, args):\n"
        "    if event.startswith('socket.'): raise RuntimeError('the network was used: ' + event)\n"
        "sys.addaudithook(hook)\n"
        "from tallystick.cli import main\n"
        f"sys.exit(main(['verify', {str(path)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ok  t: 21 entries")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is told by /proc")
def test_memory_stays_small_however_long_the_session(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        for start in range(0, 20_000, 5_000):
            numbers = range(start, start + 5_000)
            ledger.append("t", [Entry(type="note", reason=f"reason {n}", output="x" * 200) for n in numbers])
        path = _bundle(ledger, tmp_path / "b")
    program = (
        "from tallystick.stores.bundle_lines import lines_of\n"
        "from tallystick.stores.bundle_reader import verify_bundle\n"
        f"verify_bundle(lines_of({str(path)!r}))\n"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stdout) < 150 * 1024
    assert path.stat().st_size > 10 << 20
