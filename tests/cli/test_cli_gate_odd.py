"""The gate where things are not as anybody expects them: odd file names, ledgers that go away, patterns that miss."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from gate_quick import Quick

from support.command import Notch
from tallystick.workspace.paths import named_path, recorded_path

PLAN = """\
[criteria.tests]
run = 'eval "$DO"; exit ${CODE:-0}'
[criteria.lint]
run = 'test -e README'
"""
ODD = os.fsdecode(b"src/\xff\xfe")


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    return Quick(tmp_path / "repo", PLAN)


def run(quick: Quick, do: str = "", criterion: str = "tests", code: int = 0) -> None:
    assert quick.call("run", "-c", criterion, env={"DO": do}).returncode == code


@pytest.mark.parametrize(
    "name", [ODD, "src/new\nline", "-rf", 'src/"quoted"', '"', "src/\x1b[31m", "src/*", "src/back\\slash"]
)
def test_only_the_file_that_changed_is_named_whatever_lies_beside_it(quick: Quick, name: str) -> None:
    quick.repo.write(name, "1\n")
    run(quick, criterion="lint")
    assert quick.state("lint") == "pass"
    quick.repo.write("README", "other\n")
    assert quick.gate().changed("lint") == ["README"]
    quick.repo.write("README", "Read me\n")
    quick.repo.write(name, "2\n")
    assert quick.gate().changed("lint") == [recorded_path(name)]
    quick.repo.write(name, "1\n")
    assert quick.state("lint") == "pass"
    quick.repo.remove(name)
    assert quick.gate().changed("lint") == [recorded_path(name)]


def test_a_product_whose_name_is_not_utf_8_is_no_input(quick: Quick) -> None:
    run(quick, criterion="lint")
    run(quick, "printf made > \"src/$(printf '\\377\\376')\"")
    assert quick.gate().states == {"tests": "pass", "lint": "pass"}
    quick.repo.write(ODD, "by hand\n")
    assert quick.gate().changed("lint") == [recorded_path(ODD)]


def test_a_file_whose_name_is_not_utf_8_is_named_where_it_moved_or_was_written(quick: Quick) -> None:
    quick.repo.write(ODD, "1\n")
    run(quick, "echo 2 > src/$(printf '\\377\\376')")
    assert quick.gate().changed("tests") == [recorded_path(ODD)]
    run(quick, "echo 2 > src/$(printf '\\377\\376')")
    verdict = quick.gate()
    assert verdict.states["tests"] == "pass"
    assert "was written while it ran" in verdict.reason("tests")


@pytest.mark.parametrize(
    "how", ["rm -rf .tallystick", "rm .tallystick/ledger.db", "cp .tallystick/ledger.db x; mv x .tallystick/ledger.db"]
)
def test_a_check_whose_ledger_is_taken_away_meanwhile_says_that_nothing_was_recorded(quick: Quick, how: str) -> None:
    done = quick.call("check", "-j", "1", env={"DO": how})
    assert done.returncode == 125
    assert "removed or replaced while it was in use; nothing of this was recorded" in done.stderr
    assert "open" not in done.stdout
    assert not quick.gate().open if "mv" in how else quick.call("gate").returncode == 1


def test_a_pass_that_no_edit_makes_stale_says_so(tmp_path: Path) -> None:
    quick = Quick(tmp_path / "repo", PLAN + 'inputs = ["scr/**"]\n')
    run(quick, criterion="lint")
    run(quick)
    told = "no file is an input of it, so no edit makes it stale"
    verdict = quick.gate()
    assert told in verdict.reason("lint")
    assert told not in verdict.reason("tests")
    quick.repo.write("scr/one.py", "1\n")
    assert quick.state("lint") == "stale"
    run(quick, criterion="lint")
    assert told not in quick.gate().reason("lint")


@pytest.mark.parametrize("setting", [("core.worktree", "elsewhere"), ("core.bare", "true")])
def test_no_setting_of_git_makes_it_look_at_other_files(quick: Quick, setting: tuple[str, str]) -> None:
    name, value = setting
    quick.repo.git("config", name, str(quick.root.parent) if value == "elsewhere" else value)
    run(quick)
    assert quick.state("tests") == "pass"
    quick.repo.write("README", "other\n")
    assert quick.gate().changed("tests") == ["README"]


@pytest.mark.parametrize("locale", ["C.UTF-8", "C", "en_US.ISO-8859-1"])
@pytest.mark.parametrize("command", ["gate", "check", "why lint", "handoff", "plan", "log", "status", "show 2"])
def test_json_is_utf_8_without_lone_surrogates_whatever_files_are_called(
    quick: Quick, command: str, locale: str
) -> None:
    quick.repo.write(ODD, "1\n")
    quick.repo.write("src/\u00e9", "1\n")
    run(quick, criterion="lint")
    quick.repo.write(ODD, "2\n")
    quick.repo.write("src/\u00e9", "2\n")
    wanted = {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1" if "8859" in locale else ""}
    printed = Notch(quick.root)(*command.split(), "--json", check=False, env={"LC_ALL": locale, **wanted}).stdout
    document = json.loads(printed.encode("utf-8", "surrogateescape"))
    json.dumps(document, ensure_ascii=False).encode("utf-8")
    if command == "gate":
        [state] = [one for one in document["criteria"] if one["id"] == "lint"]
        assert sorted(map(named_path, state["changed"])) == sorted([ODD, "src/\u00e9"])
