"""A command loads only what it uses: modules that cost more than the command itself stay out until they are needed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tallystick import Entry, Ledger

TELL = (
    "import sys, tallystick.cli as cli; code = cli.main(sys.argv[1:]);"
    " print(*sys.modules, sep='\\n', file=open('modules', 'w')); sys.exit(code)"
)
HEAVY = {"subprocess", "tempfile", "dataclasses", "pathlib", "inspect", "concurrent.futures", "logging", "shutil"}
HEAVY |= {"psycopg", "cryptography", "uuid", "secrets", "email", "asyncio", "importlib.metadata"}


def loaded(folder: Path, *words: str) -> set[str]:
    command = [sys.executable, "-S", "-c", TELL, *words, "--ledger", "ledger.db"]
    path = str(Path(sys.modules["tallystick"].__file__ or "").parents[1])
    run = subprocess.run(command, cwd=folder, env={"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set((folder / "modules").read_text().splitlines())


@pytest.mark.parametrize("command", ["status", "log"])
def test_reading_loads_nothing_that_looks_at_files(tmp_path: Path, command: str) -> None:
    with Ledger.open(tmp_path / "ledger.db") as ledger:
        ledger.append("t", Entry(type="criterion", criterion_id="a", status="pass", details={"run": {"rerun": "x"}}))
    modules = loaded(tmp_path, command, "-t", "t")
    assert {name for name in modules if name.startswith("tallystick.workspace.")} <= {"tallystick.workspace.paths"}
    assert not modules & HEAVY
    assert "tallystick.gate.plan" not in modules


def test_recording_loads_no_more(tmp_path: Path) -> None:
    assert not loaded(tmp_path, "record", "-t", "t", "--type", "note", "--reason", "x") & HEAVY
