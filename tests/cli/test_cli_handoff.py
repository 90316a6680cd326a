"""`notch handoff`: the page for whoever takes over, as a command prints it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from support.command import Notch
from support.repository import GitRepo
from tallystick.cli import main

PLAN = """\
[criteria.a]
run = "cat a.txt; test ! -s a.txt"
inputs = ["a.txt"]

[criteria.b]
run = "true"
inputs = ["b.txt"]
"""


@pytest.fixture
def work(git_repo: GitRepo) -> GitRepo:
    """A repository on branch `work` with a plan, and no ledger yet."""
    git_repo.write("tallystick.toml", PLAN)
    git_repo.write("a.txt", "".join(f"line {n}\n" for n in range(100)))
    git_repo.write("b.txt", "b\n")
    git_repo.commit()
    git_repo.git("checkout", "-q", "-b", "work")
    return git_repo


def test_the_page(work: GitRepo, notch: Notch) -> None:
    notch("run", "-c", "a", code=1)
    notch("run", "-c", "b")
    work.write("b.txt", "other\n")
    notch("record", "--type", "note", "--provider", "ada", "--reason", "look at a first")
    lines = notch("handoff").stdout.splitlines()
    assert lines[0] == "# Handoff: `work`"
    assert lines[2].startswith("Gate **shut**, as of ")
    assert lines[2].endswith(": 0 of 2 criteria are proved for the content in front of us.")
    assert [line for line in lines if line.startswith("## ")] == [
        "## Next",
        "## Failed",
        "## Stale",
        "## Notes, newest first",
    ]
    assert "- `a` fail: `exit code 1, expected 0` (entry 2, observed)" in lines
    assert "What `a` printed, the last 40 of 100 lines:" in lines
    assert lines[lines.index("```text") + 1] == "line 60"
    assert "- `b` stale: `b.txt changed since` (entry 4, observed)" in lines
    assert "  - `b.txt (modified)`" in lines
    assert any(line.startswith("- note by `ada`, entry 5") and line.endswith(": `look at a first`") for line in lines)


def test_the_command_that_it_names_supplies_what_is_missing(work: GitRepo, notch: Notch) -> None:
    work.write("a.txt", "")
    work.commit()
    (command,) = notch.json("handoff")["next"]
    subprocess.run(["/bin/sh", "-c", command], cwd=work.root, capture_output=True, check=True)
    told = notch.json("handoff")
    assert (told["next"], told["verdict"], told["counts"]) == ([], "open", {"proved": 2, "of": 2})


def test_before_anything_is_recorded(work: GitRepo, notch: Notch) -> None:
    page = notch("handoff").stdout
    assert "nothing recorded yet" in page
    assert "notch check work" in page
    told = notch.json("handoff")
    assert (told["ledger_id"], told["as_of"]["root"], len(told["left"])) == (None, None, 2)
    assert not (work.root / ".tallystick").exists()


def test_without_a_plan_it_tells_what_the_ledger_says(git_repo: GitRepo, notch: Notch) -> None:
    notch("record", "-t", "t", "--type", "criterion", "-c", "ac1", "--status", "pass")
    page = notch("handoff", "t").stdout
    assert "There is no plan to judge by." in page
    assert "- criterion `ac1`: `pass`" in page
    assert "notch init" in page
    assert notch.json("handoff", "t")["verdict"] is None


def test_into_a_file(work: GitRepo, notch: Notch) -> None:
    done = notch("handoff", "-o", "page.md")
    assert done.stdout == ""
    assert work.read("page.md").startswith("# Handoff: `work`\n")


def test_no_longer_than_asked_for(work: GitRepo, notch: Notch) -> None:
    work.write("a.txt", "x" * 300_000 + "\n" + "y" * 3000)
    notch("run", "-c", "a", code=1)
    assert len(notch("handoff").stdout.encode()) <= 16 * 1024
    for size in ("2048", "3000"):
        assert len(notch("handoff", "--max-bytes", size).stdout.encode()) <= int(size)
        assert len(notch("handoff", "--max-bytes", size, "--json").stdout.encode()) <= int(size)


@pytest.mark.parametrize("size", ["2047", "0", "-5", "many"])
def test_a_size_that_is_none(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["handoff", f"--max-bytes={size}"]) == 2
    assert "--max-bytes" in capsys.readouterr().err


def test_evidence_that_was_changed_is_named_first(work: GitRepo, notch: Notch) -> None:
    notch("run", "-c", "b")
    seen = notch.json("gate", code=1)["as_of"]["position"]
    folder = work.root / ".tallystick"
    shutil.copytree(folder, work.root.parent / "yesterday")
    notch("record", "--type", "note", "--reason", "later")
    notch("gate", code=1)
    shutil.rmtree(folder)
    notch("handoff")
    shutil.copytree(work.root.parent / "yesterday", folder)
    done = notch("handoff", code=3)
    assert "**history**" in done.stdout
    assert "notch verify work" in done.stdout
    assert "--accept-history" not in done.stdout
    assert seen == 2


def test_the_ledger_by_url(work: GitRepo, notch: Notch) -> None:
    notch("--ledger", "sqlite:///elsewhere.db", "record", "-t", "t", "--type", "note", "--reason", "hello")
    told = notch.json("--ledger", "sqlite:///elsewhere.db", "handoff", "t")
    assert told["notes"][0]["reason"] == "hello"
    assert told["next"] == ["notch --ledger sqlite:///elsewhere.db check t"]
