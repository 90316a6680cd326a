"""A world to attack, and the table of attacks that the documentation shows."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attack_world import ROOT, Done, World

TABLE = ROOT / "docs/explanation/attack-table.md"
WRITE = "TALLYSTICK_TEST_WRITE_TABLE"
"""Set it and run this folder in one process to write the table anew."""
HEAD = (
    "| where | who | tries | what stops it | exit code | and says |\n"
    "|---|---|---|---|---|---|\n"
)  # fmt: skip
_ROWS: list[str] = []


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A repository whose `main` has a plan and a test that passes."""
    return World(tmp_path / "world")


class Row:
    """Holds an attack to what the documentation says of it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, where: str, who: str, tries: str, stopped_by: str, done: Done, code: int) -> None:
        """The gate did not open, the command ended with that code, and the documentation has that very line."""
        assert not done.opened, done.said
        assert done.code == code, done.said
        line = self._plain(done.complaint)
        row = f"| {where} | {who} | {tries} | {stopped_by} | {code} | {line} |\n"
        if os.environ.get(WRITE):
            _ROWS.append(row)
            return
        assert row in TABLE.read_text().splitlines(keepends=True), f"the table lacks: {row}"

    def _plain(self, line: str) -> str:
        """The line without what differs from run to run."""
        line = re.sub(rf"{re.escape(str(self._folder))}[^\s:;]*", "…", line)
        line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "…", line)
        line = re.sub(r"\b[0-9a-f]{12,64}\b", "…", line)
        line = re.sub(r" {2,}", " ", line)
        return "`" + line.replace("|", "\\|").replace("`", "'")[:240] + "`"


@pytest.fixture
def row(tmp_path: Path) -> Callable[..., None]:
    return Row(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _table() -> Iterator[None]:
    yield
    if os.environ.get(WRITE):
        TABLE.write_text(HEAD + "".join(_ROWS))
