"""`notch log -f`: each entry on a line as it is recorded, until the user has seen enough."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tallystick import Entry, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(str(tmp_path / "ledger.db")) as opened:
        opened.append("t", [Entry(type="note", reason=f"reason {n}") for n in range(1, 4)])
        yield opened


def follow(ledger: Ledger, *options: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "tallystick", "--ledger", ledger.url, "log", "t", "-f", *options]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    assert process.stdout is not None
    timer = threading.Timer(60, process.kill)
    timer.start()
    found = [process.stdout.readline() for _ in range(count)]
    timer.cancel()
    return found


def stop(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (0, "")


def test_what_is_there_and_what_comes(ledger: Ledger) -> None:
    process = follow(ledger, "-n", "2")
    first = lines(process, 2)
    assert [line.split("  ")[0] for line in first] == ["2", "3"]
    assert first[0].endswith("reason 2\n")
    ledger.append("other", Entry(type="note"))
    ledger.append("t", Entry(type="criterion", criterion_id="ac1", status="pass", reason="a\x1b[31m\nb"))
    (line,) = lines(process, 1)
    assert [word for word in line.split("  ") if word][2:5] == ["criterion", "ac1", "pass"]
    assert "\x1b" not in line
    stop(process)


def test_json_lines(ledger: Ledger) -> None:
    process = follow(ledger, "--json")
    documents = [json.loads(line) for line in lines(process, 3)]
    assert [(one["task_id"], one["position"], one["reason"]) for one in documents] == [
        ("t", n, f"reason {n}") for n in range(1, 4)
    ]
    stop(process)
