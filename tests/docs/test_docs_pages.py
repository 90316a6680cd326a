"""Every command that the README and the documentation show is run, and prints what they say."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from support.console import PageRun, Step, blocks, parse

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(page for page in (ROOT / "docs").rglob("*.md") if "_build" not in page.parts),
]

NOT_RUN = re.compile(r"(make|pip install|pipx install|uv tool install|git clone|cd)\b")
"""What may stand in a block of plain shell: what fetches the project or calls a target tested elsewhere."""

LANGUAGES = frozenset({"console", "sh", "python", "toml", "json", "jsonl", "text", "xml", "yaml", "ini", "sql"})
TARGETS = frozenset(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def steps_of(page: Path) -> list[Step]:
    return parse(page.read_text("utf-8"))


@pytest.mark.parametrize("page", [page for page in PAGES if steps_of(page)], ids=name)
def test_commands_do_what_the_page_shows(page: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    steps = steps_of(page)
    environment = dict(os.environ)
    for step in steps:
        if step.kind == "fixture":
            environment |= request.getfixturevalue(step.name)
    folder, state = tmp_path / "page", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    run = PageRun(folder, state, environment)
    for step in steps:
        run.step(step)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_no_command_escapes_the_run(page: Path) -> None:
    for block in blocks(page.read_text("utf-8")):
        if block.language.startswith("{"):
            assert not block.language.startswith("{code"), f"line {block.line}: use a plain fence"
            continue
        assert block.language in LANGUAGES, f"line {block.line}: language {block.language!r}"
        if block.language == "sh":
            for line in filter(None, (text.split(" #")[0].strip() for text in block.lines)):
                assert NOT_RUN.match(line), f"line {block.line}: `{line}` belongs into a console block"
                for target in re.findall(r"^make ([a-z]+)", line):
                    assert target in TARGETS, f"line {block.line}: no target {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
