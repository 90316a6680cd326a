"""stores/bundle_stream.py: blocks come to what lines come to, whatever was done to the file and whoever checks them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick import Entry, Ledger, NotFoundError, TallystickError
from tallystick.exchange.bundle import write_bundle
from tallystick.stores import bundle_file
from tallystick.stores.bundle_blocks import check_block
from tallystick.stores.bundle_file import BundleFile
from tallystick.stores.bundle_lines import LINE_LIMIT, lines_of
from tallystick.stores.bundle_reader import verify_bundle
from tallystick.stores.bundle_stream import verify_bundle_file
from tallystick.trust.keys import KeyFolder
from tallystick.trust.memory import Memory
from tallystick.trust.signer import sign_checkpoint

ENTRIES = 40
ERASED = 2
"""The position of the entry whose text was erased: a redaction names it, so that nothing else can stand there."""
FIRST = 3
"""The line of the first entry: the head, the proof and the header stand before it."""


def _entry(number: int) -> Entry:
    details = {"n": number} if number % 3 else None
    output = "" if number % 4 == 0 else f"printed {number} \N{SNOWMAN}\n"
    return Entry(
        type="criterion", criterion_id="ac1", status="pass", reason="r \\ \x1f", output=output, details=details
    )


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The lines of a bundle with a checkpoint in the middle of the history, an erasure and a part that is left out."""
    place = tmp_path_factory.mktemp("honest")
    with Ledger.open(str(place / "ledger.db")) as ledger:
        ledger.append("t", [_entry(number) for number in range(25)])
        ledger.erase("t", 2, ["text", "output"], reason="leaked")
        folder = KeyFolder({"XDG_CONFIG_HOME": str(place)})
        key = folder.new()
        sign_checkpoint(ledger, key, Memory(folder, key, ledger.ledger_id))
        ledger.append("t", [_entry(number) for number in range(25, ENTRIES - 1)])
        return list(write_bundle(ledger, "t", omit=["details"], proof=ledger.head_proof("t")))


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_file, "BLOCK_BYTES", 2_000)


def _outcome(verify: Callable[[], object]) -> object:
    try:
        return verify()
    except TallystickError as error:
        return type(error), str(error)


def _both(path: Path, lines: list[bytes]) -> object:
    """What a file of these lines comes to, once both ways of reading it agree on that."""
    path.write_bytes(b"".join(lines))
    one_by_one = _outcome(lambda: verify_bundle(lines_of(str(path)), where=str(path)))
    assert _outcome(lambda: verify_bundle_file(str(path))) == one_by_one
    return one_by_one


def test_what_our_writer_wrote_is_taken_in_blocks(honest: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"".join(honest))
    verdict = verify_bundle_file(str(tmp_path / "b"))
    assert verdict == _both(tmp_path / "b", honest)
    assert (verdict.head.position, verdict.covered, verdict.erased) == (ENTRIES, 26, 2)
    assert verdict.omitted == sum(b'"details":"omitted"' in line for line in honest) > 0
    block = check_block(b"".join(honest[FIRST:-1]), 1)
    assert block is not None
    assert (block.count, block.missing, block.omitted) == (ENTRIES, [(2, "text"), (2, "output")], verdict.omitted)
    assert sorted(block.erases) == [(2, "output"), (2, "text")]


def _in_line(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    return lambda line: line.replace(old, new, 1)


def _record(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Changes the record in a line."""

    def changed(line: bytes) -> bytes:
        fields = json.loads(line)
        record = change(base64.b64decode(fields["record"]))
        fields["record"] = base64.b64encode(record).decode()
        return json.dumps(fields, separators=(",", ":")).encode() + b"\n"

    return changed


def _field(name: str, value: object) -> Callable[[bytes], bytes]:
    """Puts something else into a field of the record."""

    def changed(record: bytes) -> bytes:
        return json.dumps({**json.loads(record), name: value}, separators=(",", ":"), ensure_ascii=False).encode()

    return _record(changed)


def _slack(line: bytes) -> bytes:
    """The same salt, spelled otherwise: bits that stand for nothing."""
    return line.replace(b'=="', b'=="', 1).replace(b'A=="', b'B=="').replace(b'w=="', b'x=="').replace(b'g=="', b'h=="')


def _swapped(line: bytes) -> bytes:
    fields = json.loads(line)
    return json.dumps(dict(reversed(fields.items())), separators=(",", ":")).encode() + b"\n"


MANIPULATIONS = {
    "white space": _in_line(b":", b": "),
    "a blank line": lambda line: b"\n" + line,
    "two lines in one": lambda line: line.rstrip(b"\n"),
    "a key twice": _in_line(b'{"record"', b'{"record":"","record"'),
    "another key": _in_line(b'{"record"', b'{"other":1,"record"'),
    "another order": _swapped,
    "an escaped key": _in_line(b'"record"', b'"recor\\u0064"'),
    "bits that stand for nothing": _slack,
    "a part that is gone": _in_line(b'"text":{', b'"text":null,"x":{'),
    "a part marked as erased": lambda line: _marked(line, "erased"),
    "a part marked as omitted": lambda line: _marked(line, "omitted"),
    "a part marked otherwise": lambda line: _marked(line, "mislaid"),
    "an empty record": _record(lambda _: b""),
    "a field of the record that nobody knows": _field("other", 1),
    "a field of another type": _field("exit_code", "1"),
    "a field that is true": _field("exit_code", True),
    "a field that is a fraction": _field("exit_code", 1.0),
    "a lone surrogate": _record(_in_line(b'"pass"', b'"\\ud800"')),
    "no UTF-8": _record(_in_line(b'"pass"', b'"\xff"')),
    "a control character": _record(_in_line(b'"pass"', b'"\x01"')),
    "the field of a record twice": _record(_in_line(b'"status"', b'"status":"fail","status"')),
    "two records": _record(lambda record: record + record),
    "white space in a record": _record(lambda record: record + b" "),
    "an earlier time": _field("at", "1999-01-01T00:00:00.000000Z"),
    "a digest in capitals": _record(lambda record: record.replace(b'"text":"a', b'"text":"A')),
    "an erasure by what is no redaction": _field("erases", [1, ["text"]]),
    "an erasure of nothing": _field("erases", [0, []]),
    "an erasure that is none": _field("erases", {"1": "text"}),
    "a record too long": _field("provider", "x" * 70_000),
}


def _marked(line: bytes, mark: str) -> bytes:
    fields = json.loads(line)
    fields["text"] = mark
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize("name", MANIPULATIONS)
def test_manipulated_lines_come_to_the_same(honest: list[bytes], tmp_path: Path, name: str) -> None:
    for position in (1, 2, 11, 26, ENTRIES):
        lines = list(honest)
        place = FIRST + position - 1
        lines[place] = MANIPULATIONS[name](lines[place])
        found = _both(tmp_path / "b", lines)
        passes = lines[place] == honest[place] or (name == "a part marked as omitted" and position != ERASED)
        assert isinstance(found, tuple) != passes, f"{name} at {position} comes to {found}"


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[:-1],
        lambda lines: lines[:20],
        lambda lines: [*lines, b"\n"],
        lambda lines: [*lines[:10], *lines[11:]],
        lambda lines: [*lines[:10], lines[11], lines[10], *lines[12:]],
        lambda lines: [*lines[:10], lines[10], *lines[10:]],
        lambda lines: [*lines[:-1], lines[-1].rstrip(b"\n")],
        lambda lines: [*lines[:10], b"{" + b" " * (LINE_LIMIT + 5) + b"}\n", *lines[10:]],
        lambda lines: [*lines[:10], b'{"record":"' + b"A" * (LINE_LIMIT + 5)],
    ],
)
def test_manipulated_files_come_to_the_same(
    honest: list[bytes], tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    assert isinstance(_both(tmp_path / "b", change(honest)), tuple)


@given(data=st.data())
def test_damaged_files_come_to_the_same(
    honest: list[bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    text = bytearray(b"".join(honest))
    place = data.draw(st.integers(0, len(text) - 1))
    text[place] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del text[place + 1 : place + data.draw(st.integers(1, 900))]
    _both(tmp_path_factory.getbasetemp() / "damaged", [bytes(text)])


def test_outputs_in_pieces_are_read_line_by_line_between_blocks(tmp_path: Path) -> None:
    with Ledger.open(str(tmp_path / "ledger.db")) as ledger:
        ledger.append("t", [_entry(number) for number in range(20)])
        ledger.append("t", Entry(type="note", output=os.urandom(1_500_000)))
        ledger.append("t", [_entry(number) for number in range(20)])
        lines = list(write_bundle(ledger, "t", artifacts=True))
        assert any(b'"piece"' in line for line in lines)
        found = _both(tmp_path / "b", lines)
        assert found == verify_bundle_file(str(tmp_path / "b"))
        assert found.head == ledger.head("t")  # type: ignore[attr-defined]
        assert found.omitted == 0  # type: ignore[attr-defined]


SHARED = """
import json, os, sys
from tallystick import TallystickError
from tallystick.stores import bundle_file
from tallystick.stores.bundle_lines import lines_of
from tallystick.stores.bundle_reader import verify_bundle
from tallystick.stores.bundle_stream import verify_bundle_file

bundle_file.BLOCK_BYTES, bundle_file.SHARED_BYTES = 2_000, 0
bundle_file.os.sched_getaffinity = lambda _: {0, 1, 2}
forked, fork = [], os.fork
bundle_file.os.fork = lambda: forked.append(1) or fork()
WORKING = bundle_file.check_block

def outcome(verify):
    try:
        return verify()
    except TallystickError as error:
        return type(error), str(error)

def crash(data, position):
    if position > 20:
        raise MemoryError
    return WORKING(data, position)

for path in sys.argv[1:]:
    expected = outcome(lambda: verify_bundle(lines_of(path), where=path))
    for check in (WORKING, crash):
        bundle_file.check_block = check
        found = outcome(lambda: verify_bundle_file(path))
        assert found == expected, (path, found, expected)
        try:
            print("a process is left:", os.waitpid(-1, os.WNOHANG))
        except ChildProcessError:
            pass
print("forked", len(forked) >= 3 * 2 * len(sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the number of processors is set by hand")
def test_other_processes_come_to_the_same(honest: list[bytes], tmp_path: Path) -> None:
    paths = []
    for name, changed in (
        ("honest", honest),
        ("damaged", [*honest[:30], honest[30].replace(b'"data":"', b'"data":"AAAA'), *honest[31:]]),
        ("short", honest[:30]),
    ):
        (tmp_path / name).write_bytes(b"".join(changed))
        paths.append(str(tmp_path / name))
    done = subprocess.run(
        [sys.executable, "-c", SHARED, *paths], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "forked True\n", "")


def test_a_file_is_read_by_lines_and_by_blocks_in_turn(tmp_path: Path) -> None:
    lines = [b"%d\n" % number for number in range(2_000)]
    (tmp_path / "lines").write_bytes(b"".join(lines) + b"rest")
    with BundleFile(str(tmp_path / "lines")) as file:
        assert next(file) == lines[0]
        offset, data, count = file.block(3)
        assert (offset, data, count) == (2, b"".join(lines[1:4]), 3)
        taken = 4
        while count:
            assert next(file) == lines[taken]
            offset, data, count = file.block(10**6)
            assert data == b"".join(lines[taken + 1 : taken + 1 + count])
            taken += 1 + count
            if taken == len(lines):
                break
        assert list(file) == [b"rest"]
        file.seek(offset)
        assert next(file) == data.splitlines(keepends=True)[0]


def _in_blocks(file: BundleFile) -> Iterator[int]:
    while count := file.block(1)[2]:
        yield count


def test_a_line_longer_than_a_block_is_no_block(tmp_path: Path) -> None:
    (tmp_path / "lines").write_bytes(b"x" * 50_000 + b"\n")
    with BundleFile(str(tmp_path / "lines")) as file:
        assert not list(_in_blocks(file))
        assert next(file) == b"x" * 50_000 + b"\n"


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        verify_bundle_file(str(tmp_path / "none"))
