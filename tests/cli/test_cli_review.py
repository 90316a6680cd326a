"""`notch review`: bound to the content reviewed; a failing one keeps the gate shut."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from support.command import Notch
from support.repository import GitRepo
from tallystick.cli import main

PLAN = """\
[criteria.a]
run = "test -s a.txt"
inputs = ["a.txt"]
"""


@pytest.fixture
def shown(git_repo: GitRepo, notch: Notch) -> GitRepo:
    """A repository on branch `work` whose one criterion is shown."""
    git_repo.write("tallystick.toml", PLAN)
    git_repo.write("a.txt", "a\n")
    git_repo.write("other.txt", "other\n")
    git_repo.commit()
    git_repo.git("checkout", "-q", "-b", "work")
    notch("run", "-c", "a")
    notch("gate")
    return git_repo


def fails(notch: Notch, *more: str) -> None:
    notch("review", "--verdict", "fail", "--by", "ada", "--reason", "misses are cached", *more)


def passes(notch: Notch) -> None:
    notch("review", "--verdict", "pass", "--by", "bob")


def objection(notch: Notch) -> dict[str, Any]:
    found = notch.json("gate", code=1)["objections"]
    assert [one["rule"] for one in found] == ["review"]
    return found[0]


def test_a_failing_review_shuts_the_gate_by_name(shown: GitRepo, notch: Notch) -> None:
    fails(notch)
    found = objection(notch)
    assert found["what"] == "ada reviewed it as failing: misses are cached"
    assert found["next"].startswith("notch review -t work --verdict pass")


def test_a_later_one_that_passes_opens_it(shown: GitRepo, notch: Notch) -> None:
    fails(notch)
    passes(notch)
    notch("gate")
    fails(notch)
    objection(notch)


def test_the_command_that_the_gate_names_works(shown: GitRepo, notch: Notch) -> None:
    fails(notch)
    notch("gate", code=1)
    subprocess.run(["/bin/sh", "-c", objection(notch)["next"]], cwd=shown.root, check=True, stdout=subprocess.DEVNULL)
    notch("gate")


def test_a_pass_on_other_content_does_not_lift_it(shown: GitRepo, notch: Notch) -> None:
    fails(notch)
    passes(notch)
    shown.write("other.txt", "another\n")
    objection(notch)
    passes(notch)
    notch("gate")


def test_content_that_is_put_back_is_reviewed_still(shown: GitRepo, notch: Notch) -> None:
    fails(notch)
    passes(notch)
    shown.write("other.txt", "another\n")
    notch("gate", code=1)
    shown.git("checkout", "-q", "other.txt")
    notch("gate")
    shown.commit("the same content")
    notch("gate")


def test_a_failing_one_stands_whatever_is_edited(shown: GitRepo, notch: Notch) -> None:
    fails(notch)
    shown.write("other.txt", "another\n")
    objection(notch)


def test_what_is_recorded(shown: GitRepo, notch: Notch) -> None:
    shown.write("new.txt", "untracked\n")
    done = notch.json("review", "--verdict", "fail", "--by", "Ada Lovelace", "--reason", "no", "--findings", "a.txt")
    entry = notch.json("show", "work", str(done["position"]))
    assert (entry["type"], entry["status"], entry["provider"]) == ("review", "fail", "Ada Lovelace")
    assert (entry["reason"], entry["output"]) == ("no", "a\n")
    content = entry["details"]["content"]
    assert content["commit"] == shown.head()
    assert content["changes"].keys() == {"new.txt"}
    assert "patterns" not in content
    assert len(content["inputs"]) == 64
    assert done["root"] == notch.json("status")["root"]


def test_findings_from_standard_input(shown: GitRepo, notch: Notch) -> None:
    notch("review", "--verdict", "fail", "--by", "ada", "--findings", "-", input=b"one\n\xff\n")
    position = str(notch.json("status")["position"])
    assert notch.json("show", "work", position)["output"] == "one\n�\n"


def test_what_a_run_left_does_not_make_it_stale(shown: GitRepo, notch: Notch) -> None:
    fails(notch)
    passes(notch)
    notch("run", "--", "sh", "-c", "echo made > made.txt")
    notch("gate")
    passes(notch)
    shown.remove("made.txt")
    notch("gate")


def test_without_a_plan_or_a_ledger_it_is_recorded_all_the_same(git_repo: GitRepo, notch: Notch) -> None:
    notch("review", "-t", "t", "--verdict", "pass", "--by", "ada")
    assert notch.json("status", "t")["position"] == 1


def test_outside_git(notch: Notch) -> None:
    notch("review", "-t", "t", "--verdict", "pass", "--by", "ada")
    assert notch.json("log", "t")[0]["details"]["content"]["tree"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--verdict", "maybe", "--by", "ada"], "--verdict"),
        (["--by", "ada"], "--verdict"),
        (["--verdict", "pass"], "--by"),
        (["--verdict", "pass", "--by", " "], "--by is a name"),
        (["--verdict", "pass", "--by", "a\nb"], "--by is a name"),
        (["--verdict", "pass", "--by", "ada", "--findings", "absent.md"], "no such file"),
        (["--verdict", "pass", "--by", "ada", "--findings", "."], "a folder"),
        (["--verdict", "pass", "--by", "ada", "-t", "-x"], "task"),
    ],
)
def test_bad_input_records_nothing(
    git_repo: GitRepo,
    arguments: list[str],
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(git_repo.root)
    task = [] if "-t" in arguments else ["-t", "t"]
    assert main(["review", *task, *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert not (git_repo.root / ".tallystick").exists()


def test_the_same_key_records_it_once(shown: GitRepo, notch: Notch) -> None:
    fails(notch, "--idempotency-key", "k")
    fails(notch, "--idempotency-key", "k")
    assert [one["type"] for one in notch.json("log")].count("review") == 1
