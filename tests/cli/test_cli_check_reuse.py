"""What was shown in another task is cited and not run; a citation counts only as long as what it cites does."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from support.checks import Project
from support.repository import GitRepo
from tallystick import Entry, Ledger


@pytest.fixture
def project(git_repo: GitRepo, tmp_path: Path) -> Project:
    git_repo.write("a", "1")
    git_repo.write("b", "1")
    return Project(git_repo, tmp_path / "outside")


def run(command: str, more: str = 'inputs = ["a"]\n') -> str:
    return f"run = {json.dumps(command)}\n{more}"


def ledger_of(project: Project, *, read_only: bool = False) -> Ledger:
    return Ledger.open(str(project.root / ".tallystick/ledger.db"), create=False, read_only=read_only)


def shown_in_one(project: Project, then: str = "sleep 0.3", more: str = 'inputs = ["a"]\n') -> None:
    """A criterion that was shown in the task `one`, and another branch with the same content."""
    project.plan({"tests": run(project.counted("tests", then), more)})
    project.begin("one")
    project.notch("check")
    project.repo.git("checkout", "-q", "-b", "two")


def details(project: Project, task: str, type_: str) -> list[dict[str, Any]]:
    with ledger_of(project, read_only=True) as ledger:
        return [dict(one.entry.details) for one in ledger.entries(task) if one.entry.type == type_]


def test_what_was_shown_in_another_task_is_cited(project: Project) -> None:
    shown_in_one(project)
    done = project.notch("check")
    assert project.runs("tests") == 1
    assert re.match(r"check: 1 reused, saved \d\.\d s\ngate open  two", done.stdout)
    assert re.search(r"shown by one #2, saved \d\.\d s", done.stderr)
    with ledger_of(project, read_only=True) as ledger:
        (recorded,) = ledger.entries("two")
        root, inputs = ledger.root_at("one", 2).root, ledger.entry("one", 2).entry.details["content"]["inputs"]
        ledger_id = ledger.ledger_id
    cited = dict(recorded.entry.details["reuse"])
    assert 300 <= cited.pop("saved_ms") < 5_000
    assert cited == {
        "criterion": "tests",
        "ledger": ledger_id,
        "task": "one",
        "position": 2,
        "root": root,
        "inputs": inputs,
    }
    assert (recorded.entry.type, recorded.entry.criterion_id) == ("reuse", "")
    assert project.notch.json("status", "two")["criteria"] == {}, "it sets no state"
    assert "nothing to run" in project.notch("check").stdout
    assert "cited     from the session of one" in project.notch("why", "tests").stdout
    assert project.notch.json("gate")["criteria"][0]["reason"] == "exit code was 0; shown by one #2"


def test_it_goes_stale_with_its_inputs_by_name(project: Project) -> None:
    shown_in_one(project)
    project.notch("check")
    project.repo.write("b", "2")
    assert project.states() == {"tests": "pass"}
    project.repo.write("a", "2")
    gate = project.notch.json("gate", code=1)["criteria"][0]
    assert (gate["state"], gate["changed"], gate["reason"]) == ("stale", ["a"], "a changed since")
    project.notch("check")
    assert project.runs("tests") == 2


def test_no_reuse_runs_all(project: Project) -> None:
    shown_in_one(project)
    done = project.notch("check", "--no-reuse")
    assert "check: 1 run\n" in done.stdout
    assert project.runs("tests") == 2


def test_json_tells_what_is_cited(project: Project) -> None:
    shown_in_one(project)
    told = project.notch.json("check")["check"]
    assert told["saved_ms"] == told["outcomes"][0]["reuse"]["saved_ms"] >= 300
    assert (told["outcomes"][0]["how"], told["outcomes"][0]["passed"]) == ("reused", True)


@pytest.mark.parametrize("what", ["content", "command", "inputs", "environment", "platform asked", "expectation"])
def test_only_the_very_same_is_cited(project: Project, what: str) -> None:
    command = project.counted("tests", "echo '3 passed in 0.10s'")
    more = 'inputs = ["a"]\nenvironment = { variables = ["COLOUR"] }\n'
    project.plan({"tests": run(command, more)})
    project.begin("one")
    blue = {"COLOUR": "blue"}
    project.notch("check", env=blue)
    project.repo.git("checkout", "-q", "-b", "two")
    if what == "content":
        project.repo.write("a", "2")
    elif what == "command":
        project.plan({"tests": run(command, more), "spaced": run(f"{command} ", more)})
    elif what == "inputs":
        project.plan({"tests": run(command, more.replace('["a"]', '["a", "b"]'))})
    elif what == "platform asked":
        project.plan({"tests": run(command, more.replace("] }", "], platform = true }"))})
    elif what == "expectation":
        project.plan({"tests": run(command, more + 'expect = { tests = ">= 4" }')})
    project.notch("check", env=blue if what != "environment" else {"COLOUR": "red"}, check=False)
    assert project.runs("tests") == 2


def test_of_another_criterion_and_in_another_clone(project: Project) -> None:
    shown_in_one(project)
    project.plan({"renamed": run(project.counted("tests", "sleep 0.3"))})
    clone = GitRepo(project.outside / "clone")
    project.repo.commit()
    project.repo.clone(clone.root)
    project.notch("check", env={"TALLYSTICK_LEDGER": str(project.root / ".tallystick/ledger.db")}, cwd=clone.root)
    assert project.runs("tests") == 1


def test_a_claim_is_never_cited(project: Project) -> None:
    project.plan({"tests": run(project.counted("tests"))})
    project.begin("one")
    command = project.counted("tests")
    project.notch("record", "--type", "criterion", "-c", "tests", "--status", "pass", "--command", command)
    project.repo.git("checkout", "-q", "-b", "two")
    project.notch("check", "--reindex")
    assert project.runs("tests") == 1


def test_what_depends_on_no_file_is_never_cited(project: Project) -> None:
    shown_in_one(project, more='inputs = ["nowhere/**"]\n')
    project.notch("check")
    assert project.runs("tests") == 2


def test_a_result_whose_inputs_were_written_meanwhile_is_not_cited(project: Project) -> None:
    shown_in_one(project, then="sleep 0.05; cp a /tmp/kept.$$; echo 2 > a; cat /tmp/kept.$$ > a; rm /tmp/kept.$$")
    project.notch("check")
    assert project.runs("tests") == 2


def test_what_a_trusted_key_stands_behind_there_stands_so_here(project: Project) -> None:
    project.notch("init", "--no-plan")
    project.notch("key", "new", "boss")
    vkey = project.notch("key", "show", "boss").stdout.strip()
    more = f'[keys.boss]\npublic = "{vkey}"\nroles = ["attest"]\n'
    criterion = run(project.counted("tests"), 'inputs = ["a"]\ngrade = "attested"\n')
    project.plan({"tests": criterion}, more=more)
    project.begin("one")
    project.notch("check", code=1)
    project.repo.git("checkout", "-q", "-b", "early")
    project.notch("check", code=1)
    assert details(project, "early", "reuse") == [], "observed alone is not enough to be cited"
    project.notch("attest", "one")
    project.repo.git("checkout", "-q", "-b", "two")
    done = project.notch("check")
    assert "check: 1 reused" in done.stdout
    gate = project.notch.json("gate")["criteria"][0]
    assert (gate["state"], gate["grade"]) == ("pass", "attested")


def test_what_ci_showed_and_signed_is_not_run_again_here(project: Project) -> None:
    """Another ledger's session, kept beside ours: a claim to us, unless a key that we trust stands behind it."""
    project.notch("init", "--no-plan")
    project.notch("key", "new", "ci")
    vkey = project.notch("key", "show", "ci").stdout.strip()
    project.plan({"tests": run(project.counted("tests"))}, more=f'[keys.ci]\npublic = "{vkey}"\nroles = ["attest"]\n')
    project.begin("one")
    project.notch("check")
    here = GitRepo(project.outside / "here")
    project.repo.clone(here.root)
    here.git("checkout", "-q", "-b", "two")
    bundle, signed = project.outside / "one.bundle", project.outside / "signed.bundle"
    project.notch("export", "one", "--format", "bundle", "-o", bundle)
    project.notch("attest", "one")
    project.notch("export", "one", "--format", "bundle", "-o", signed)
    project.notch("import", bundle, cwd=here.root)
    project.notch("check", "unsigned", cwd=here.root)
    assert project.runs("tests") == 2, "anybody could have made it up"
    shutil.rmtree(here.root / ".tallystick")
    project.notch("gate", "--accept-history", cwd=here.root, check=False)
    project.notch("import", signed, cwd=here.root)
    done = project.notch("check", cwd=here.root)
    assert "check: 1 reused" in done.stdout, done.stdout
    assert project.runs("tests") == 2
    gate = project.notch.json("gate", cwd=here.root)["criteria"][0]
    assert (gate["state"], gate["grade"]) == ("pass", "attested")


# --- what is cited later changes


def test_erased_it_no_longer_counts(project: Project) -> None:
    for part in ("details", "text"):
        shown_in_one(project)
        project.notch("check")
        with ledger_of(project) as ledger:
            ledger.erase("one", 2, [part], reason="leaked")
        gate = project.notch.json("gate", code=1)["criteria"][0]
        assert gate["state"] in ("stale", "missing")
        assert "the result that is cited was erased (one #2)" in gate["reason"], gate
        done = project.notch("check")
        assert "check: 1 run\n" in done.stdout
        project.repo.git("checkout", "-q", "main")
        project.repo.git("branch", "-D", "-q", "one", "two")
        shutil.rmtree(project.root / ".tallystick")
        project.notch("gate", "--accept-history", check=False)


def test_an_erased_output_counts_only_where_it_is_not_asked_for(project: Project) -> None:
    shown_in_one(project, then="echo all good", more='inputs = ["a"]\nexpect = { output = "good" }\n')
    project.notch("check")
    assert project.states() == {"tests": "pass"}
    with ledger_of(project) as ledger:
        ledger.erase("one", 2, ["output"], reason="leaked")
    assert project.states() == {"tests": "fail"}


def test_found_flaky_there_it_no_longer_counts(project: Project) -> None:
    shown_in_one(project, then=f"test ! -e {project.outside}/broken")
    project.notch("check")
    (project.outside / "broken").touch()
    project.notch("run", "-t", "one", "-c", "tests", check=False)
    gate = project.notch.json("gate", "two", code=1)["criteria"][0]
    assert (gate["state"], gate["ok"], gate["passes"], gate["fails"]) == ("flaky", False, 1, 1)
    (project.outside / "broken").unlink()
    project.repo.git("checkout", "-q", "-b", "three")
    project.notch("check")
    assert details(project, "three", "reuse") == [], "what is flaky somewhere is not cited"


def test_an_interrupted_run_there_does_not_leave_it_standing(project: Project) -> None:
    shown_in_one(project, then=f"while [ -e {project.outside}/block ]; do sleep 0.02; done")
    project.notch("check")
    (project.outside / "block").touch()
    running = project.start("run", "-t", "one", "-c", "tests")
    while project.runs("tests") < 2:
        time.sleep(0.02)
    assert project.states("two") == {"tests": "pass"}, "what is under way elsewhere says nothing yet"
    running.process.kill()
    running.process.wait()
    assert project.states("two") == {"tests": "interrupted"}
    (project.outside / "block").unlink()


def test_a_killed_run_here_does_not_leave_a_citation_standing(project: Project) -> None:
    project.plan({"tests": run(project.counted("tests", f"while [ -e {project.outside}/block ]; do sleep 0.02; done"))})
    project.begin("one")
    for _ in range(5):
        project.notch("record", "--type", "note", "--reason", "so that its positions are higher")
    project.notch("check")
    project.repo.git("checkout", "-q", "-b", "two")
    project.notch("check")
    (project.outside / "block").touch()
    running = project.start("run", "-c", "tests")
    while project.runs("tests") < 2:
        time.sleep(0.02)
    running.process.kill()
    running.process.wait()
    (project.outside / "block").unlink()
    assert project.states() == {"tests": "interrupted"}
    done = project.notch("check")
    assert "check: 1 run\n" in done.stdout, "an interrupted one is run, not cited"


def test_what_counted_less_than_before_is_not_cited(project: Project) -> None:
    count = project.outside / "count"
    count.write_text("5")
    project.plan({"tests": run(project.counted("tests", f'echo "$(cat {count}) passed in 0.10s"'))})
    project.begin("one")
    project.notch("check")
    count.write_text("3")
    project.repo.write("a", "2")
    project.notch("check", code=1)
    assert "fewer tests were executed" in project.notch("gate", code=1).stdout
    project.repo.git("stash", "-q")
    project.repo.git("checkout", "-q", "main")
    project.repo.git("checkout", "-q", "-b", "two")
    project.repo.git("stash", "pop", "-q")
    project.notch("check")
    assert project.runs("tests") == 3, "it was run, where it could not be cited"
    assert details(project, "two", "reuse") == []


def test_a_citation_of_what_turns_out_to_count_less_lapses(project: Project) -> None:
    """A result that was cited, and then more tests were counted for the same content there."""
    count = project.outside / "count"
    count.write_text("3")
    project.plan({"tests": run(project.counted("tests", f'echo "$(cat {count}) passed in 0.10s"'))})
    project.begin("one")
    project.notch("check")
    project.repo.git("checkout", "-q", "-b", "two")
    project.notch("check")
    assert project.states() == {"tests": "pass"}
    with ledger_of(project) as ledger:
        entries = [one.entry for one in ledger.entries("one")]
        before, result = entries
        run_ = {**result.details["run"], "started": 3, "tests": {"counts": {"executed": 9, "skipped": 0}}}
        ledger.append("one", before.replace(id=""))
        ledger.append("one", result.replace(id="", details={**result.details, "run": run_}))
        ledger.append("one", before.replace(id=""))
        less = {**run_, "started": 5, "tests": {"counts": {"executed": 2, "skipped": 0}}}
        ledger.append("one", result.replace(id="", details={**result.details, "run": less}))
    done = project.notch("gate", code=1)
    assert "fewer tests were executed" in done.stdout


# --- tampering, and stores that hold less


def test_a_changed_history_there_is_tampering(project: Project) -> None:
    shown_in_one(project)
    project.notch("check")
    with ledger_of(project) as ledger:
        reuse = ledger.entry("two", 1).entry
        cited = {**reuse.details["reuse"], "root": "0" * 64}
        ledger.append("two", reuse.replace(id="", details={"reuse": cited}))
    done = project.notch("gate", code=3)
    assert "one at position 2: the history is not the one that a result was cited from" in done.stderr


def test_a_record_there_that_was_edited_is_tampering(project: Project) -> None:
    shown_in_one(project)
    project.notch("check")
    connection = sqlite3.connect(project.root / ".tallystick/ledger.db", isolation_level=None)
    connection.execute("DROP TRIGGER record_only_erased")
    connection.execute(
        "UPDATE record SET record = CAST(replace(record, 'pass', 'fail') AS BLOB) WHERE id = (1 << 32) + 2"
    )
    connection.close()
    assert project.notch("gate", code=3).stderr.startswith("notch: one at position 2: ")


def test_a_citation_of_a_session_that_is_not_here_counts_nothing(project: Project) -> None:
    shown_in_one(project)
    project.notch("check")
    with ledger_of(project) as ledger:
        reuse = ledger.entry("two", 1).entry
        cited = {**reuse.details["reuse"], "ledger": "f" * 32}
        ledger.append("three", reuse.replace(id="", details={"reuse": cited}))
    gate = project.notch.json("gate", "three", code=1)["criteria"][0]
    assert (gate["state"], gate["reason"]) == ("stale", "the session it is cited from is not here (one #2)")


@pytest.mark.parametrize(
    "cited",
    [
        {},
        {"criterion": "tests"},
        {"criterion": "tests", "ledger": "x", "task": "one", "position": "2", "root": "", "inputs": ""},
        {"criterion": ["tests"], "ledger": "x", "task": "one", "position": 2, "root": "", "inputs": ""},
    ],
)
def test_a_citation_that_is_none_reads_as_absent(project: Project, cited: dict[str, Any]) -> None:
    shown_in_one(project)
    with ledger_of(project) as ledger:
        ledger.append("two", Entry(type="reuse", details={"reuse": cited}))
    assert project.states() == {"tests": "missing"}


def test_a_citation_of_a_beginning_or_another_commands_result_counts_nothing(project: Project) -> None:
    shown_in_one(project)
    project.notch("check")
    project.notch("run", "-t", "one", "-c", "tests", "--", "true")
    with ledger_of(project) as ledger:
        reuse = ledger.entry("two", 1).entry
        for task, position in (("of-start", 1), ("of-other", 4)):
            cited = {**reuse.details["reuse"], "position": position, "root": ledger.root_at("one", position).root}
            ledger.append(task, reuse.replace(id="", details={"reuse": cited}))
    assert project.states("of-start") == {"tests": "stale"}
    assert project.states("of-other") == {"tests": "missing"}


def test_forging_the_index_gains_nothing(project: Project) -> None:
    """It is not covered by any proof, so nothing is believed because it stands there."""
    project.plan({"tests": run(project.counted("tests", "false")), "other": run(": other")})
    project.begin("one")
    project.notch("check", code=1)
    connection = sqlite3.connect(project.root / ".tallystick/ledger.db", isolation_level=None)
    ids = [id_ for (id_,) in connection.execute("SELECT id FROM record")]
    digests = [digest for (digest,) in connection.execute("SELECT DISTINCT digest FROM local_proof")]
    assert len(digests) == 2
    from tallystick.capture.proved import proof_digest

    with ledger_of(project, read_only=True) as ledger:
        inputs = next(one.entry for one in ledger.entries("one") if one.entry.type == "criterion").details["content"]
    wanted = proof_digest(project.counted("tests", "false"), str(inputs["inputs"]), {})
    connection.executemany(
        "INSERT OR IGNORE INTO local_proof VALUES (?, ?)", [(wanted, id_) for id_ in [*ids, 9 << 32]]
    )
    connection.close()
    project.repo.git("checkout", "-q", "-b", "two")
    project.notch("check", code=1)
    assert project.runs("tests") == 2


def test_an_index_that_is_lost_is_made_again(project: Project) -> None:
    shown_in_one(project)
    connection = sqlite3.connect(project.root / ".tallystick/ledger.db", isolation_level=None)
    connection.execute("DELETE FROM local_proof")
    connection.close()
    project.repo.git("checkout", "-q", "-b", "three")
    project.notch("check")
    assert project.runs("tests") == 2
    connection = sqlite3.connect(project.root / ".tallystick/ledger.db", isolation_level=None)
    connection.execute("DELETE FROM local_proof")
    connection.close()
    project.repo.git("checkout", "-q", "-b", "four")
    project.notch("check", "--reindex")
    assert project.runs("tests") == 2


def test_a_worktree_beside_uses_the_same_evidence(project: Project) -> None:
    shown_in_one(project)
    linked = project.outside / "linked"
    project.repo.git("worktree", "add", "-q", linked, "-b", "beside")
    project.notch("check", cwd=linked)
    assert project.runs("tests") == 1
    assert os.path.exists(project.root / ".tallystick")
    assert not os.path.exists(linked / ".tallystick")
