"""The reference page names every key of a plan."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tallystick.gate.expectation import OPERATORS, OUTPUT_WINDOW, PATTERN_LIMIT
from tallystick.gate.grades import Grade
from tallystick.gate.plan_reader import FLAKY_LIMIT, LINE_LIMIT, SIZE_LIMIT
from tallystick.gate.trusted import ROLES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/plan.md").read_text("utf-8")
SCHEMA = json.loads((ROOT / "src/tallystick/gate/tallystick.schema.json").read_text("utf-8"))
SECTIONS = {
    "criterion": "## A criterion",
    "expect": "### `expect`",
    "environment": "### `environment`",
    "task": "## A task",
    "gate": "## The gate",
    "key": "## Keys",
    "quorum": "### Quorums",
}


def rows(heading: str) -> set[str]:
    """The keys that the first table below a heading lists."""
    section = PAGE.split(f"\n{heading}\n", 1)[1]
    table = section.split("\n|", 1)[1].split("\n\n", 1)[0]
    return set(re.findall(r"^\|? ?`(\w+)` \|", table, re.MULTILINE))


@pytest.mark.parametrize(("definition", "heading"), SECTIONS.items())
def test_each_table_lists_the_keys_there_are(definition: str, heading: str) -> None:
    assert rows(heading) == set(SCHEMA["definitions"][definition]["properties"])


def test_the_words_and_limits_are_those_of_the_reader() -> None:
    for word in (*ROLES, *map(str, Grade), *OPERATORS):
        assert f"`{word}`" in PAGE
    assert f"the last {OUTPUT_WINDOW:,} characters" in PAGE
    assert f"at most {PATTERN_LIMIT:,}\ncharacters" in PAGE
    assert f"at most {SIZE_LIMIT // 1024} KiB" in PAGE
    assert f"more than {LINE_LIMIT:,} characters" in PAGE
    assert f"1 to {FLAKY_LIMIT} |" in PAGE
