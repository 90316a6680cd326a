"""Streams that are closed, full or cannot show a sign, and values that no run can have."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from support.command import Notch, notch_argv
from support.repository import GitRepo


@pytest.fixture
def repo(git_repo: GitRepo, notch: Notch) -> GitRepo:
    git_repo.write("x", "1\n")
    git_repo.write("tallystick.toml", '[criteria.a]\nrun = "cat x"\n')
    git_repo.commit("a plan")
    notch("run", "-c", "a")
    return git_repo


def _shell(repo: GitRepo, words: str, redirection: str) -> subprocess.CompletedProcess[str]:
    command = " ".join(notch_argv(*words.split())) + " " + redirection
    return subprocess.run(["sh", "-c", command], cwd=repo.root, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("words", ["status main", "gate main", "run -t main -c a", "log main --json", "verify"])
@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_answer(repo: GitRepo, notch: Notch, words: str, redirection: str) -> None:
    done = _shell(repo, words, redirection)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    notch("verify")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_full_disk_behind_the_output_is_a_line(repo: GitRepo) -> None:
    done = _shell(repo, "log main", "> /dev/full")
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1


def test_signs_that_cannot_be_shown_are_escaped(repo: GitRepo, notch: Notch) -> None:
    told = notch("gate", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}).stdout
    assert "\\u2713 a" in told


def test_json_is_json_whatever_can_be_shown(repo: GitRepo, notch: Notch) -> None:
    said = "caf\u00e9 \u2713 \U0001f600"
    notch("record", "--type", "note", "--reason", said)
    told = notch("log", "--json", env={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}).stdout
    assert json.loads(told)[-1]["reason"] == said


@pytest.mark.parametrize("seconds", ["inf", "nan", "1e308", "0", "-1"])
def test_a_time_limit_that_is_none_records_nothing(repo: GitRepo, notch: Notch, seconds: str) -> None:
    before = notch("log", "--json").stdout
    notch("run", "-c", "a", "--timeout", seconds, code=2)
    assert notch("log", "--json").stdout == before


def test_a_relative_home_gets_no_state_into_the_tree(repo: GitRepo, notch: Notch) -> None:
    notch("gate", env={"HOME": "relative", "XDG_STATE_HOME": ""})
    assert not (repo.root / "relative").exists()


def test_reading_commands_take_the_task_as_writing_ones_do(repo: GitRepo, notch: Notch) -> None:
    assert notch("log", "-t", "main").stdout == notch("log", "main").stdout
    assert "named twice" in notch("log", "main", "-t", "main", code=2).stderr


def test_a_result_that_fails_behind_a_zero_is_said(git_repo: GitRepo, notch: Notch) -> None:
    git_repo.write("tallystick.toml", '[criteria.a]\nrun = "true"\nexpect = { output = "never" }\n')
    git_repo.commit("a plan")
    assert "a, fail (the output does not match 'never'); counts for the plan" in notch("run", "-c", "a").stderr
