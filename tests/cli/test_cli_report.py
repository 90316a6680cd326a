"""Test reports on the command line: `notch import` makes one entry of them, `notch run --report` judges by them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from support.command import Notch
from support.repository import GitRepo
from tallystick import Ledger
from tallystick.recorded import Recorded
from tallystick.reports import read_report
from tallystick.reports.base import Report

DATA = Path(__file__).resolve().parents[1] / "data/reports"
PASSING = '<testsuite><testcase name="a"/><testcase name="b"/></testsuite>'
FAILING = '<testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'
PLAN = '[criteria.tests]\nrun = "make test"\ngrade = "claimed"\ninputs = ["src"]\n'


@pytest.fixture
def repo(git_repo: GitRepo) -> GitRepo:
    git_repo.write("src", "1")
    git_repo.write("tallystick.toml", PLAN)
    git_repo.commit()
    git_repo.git("checkout", "-q", "-b", "work")
    return git_repo


def newest(repo: GitRepo, task: str = "work") -> Recorded:
    with Ledger.open(str(repo.root / ".tallystick/ledger.db"), read_only=True) as ledger:
        return ledger.entry(task, ledger.head(task).position)


def count(repo: GitRepo) -> int:
    with Ledger.open(str(repo.root / ".tallystick/ledger.db"), read_only=True) as ledger:
        return ledger.head("work").position


def state(notch: Notch) -> str:
    found: str = json.loads(notch("gate", "--json", check=False).stdout)["criteria"][0]["state"]
    return found


@pytest.mark.parametrize(
    ("file", "format_", "status", "counts"),
    [
        ("junit/pytest.xml", "junit", "fail", (6, 1, 2, 1)),
        ("junit/surefire-ShopTest.xml", "junit", "fail", (3, 1, 1, 2)),
        ("tap/node20-pass.tap", "tap", "pass", (2, 0, 0, 1)),
        ("ctrf/pytest.json", "ctrf", "fail", (10, 3, 0, 3)),
        ("go/go127-pass.jsonl", "go", "pass", None),
        ("sarif/ruff.sarif", "sarif", "fail", (0, 1, 0, 0)),
        ("sarif/ruff-clean.sarif", "sarif", "pass", (1, 0, 0, 0)),
    ],
)
def test_what_a_tool_wrote_becomes_one_entry(
    repo: GitRepo, notch: Notch, file: str, format_: str, status: str, counts: tuple[int, ...] | None
) -> None:
    notch("import", DATA / file)
    assert count(repo) == 1
    entry = newest(repo).entry
    report = Report.from_details(_thawed(entry.details["report"]))
    assert (entry.type, entry.status, report.format) == ("run", status, format_)
    assert counts in (None, (report.passed, report.failed, report.errors, report.skipped))
    assert report == read_report((DATA / file).read_bytes())
    assert "run" not in entry.details, "nobody of ours saw it run"
    assert entry.output_bytes == (DATA / file).read_bytes()


def _thawed(value: object) -> object:
    from tallystick.cli.gate import thawed

    return thawed(value)


def test_the_reports_of_one_run_are_one_entry_and_imported_twice_they_still_are(repo: GitRepo, notch: Notch) -> None:
    files = [DATA / "junit/surefire-GoodTest.xml", DATA / "junit/surefire-ShopTest.xml"]
    first = notch.json("import", *files)[0]
    assert first["recorded"]
    assert first["status"] == "fail"
    counts = first["report"]["counts"]
    alone = [notch.json("import", "-t", f"other{n}", file)[0]["report"]["counts"] for n, file in enumerate(files)]
    assert counts == {kind: sum(one[kind] for one in alone) for kind in counts}
    again = notch.json("import", *files)[0]
    assert not again["recorded"]
    assert (again["position"], count(repo)) == (first["position"], 1)
    repo.write("src", "2")
    assert notch.json("import", *files)[0]["recorded"], "on other content it is another claim"


def test_a_report_for_a_criterion_counts_as_a_claim_about_this_content(repo: GitRepo, notch: Notch) -> None:
    repo.write("../good.xml", PASSING)
    notch("import", "../good.xml", "-c", "tests")
    entry = newest(repo).entry
    assert (entry.type, entry.criterion_id, entry.command, entry.status) == ("criterion", "tests", "make test", "pass")
    assert state(notch) == "pass"
    assert json.loads(notch("gate", "--json", check=False).stdout)["criteria"][0]["grade"] == "claimed"
    repo.write("src", "2")
    assert state(notch) == "stale"
    repo.write("../bad.xml", FAILING)
    notch("import", "../bad.xml", "-c", "tests")
    assert state(notch) == "fail"
    assert newest(repo).entry.reason == "1 of 2 tests failed: b"


def test_a_claim_never_passes_for_what_was_watched(repo: GitRepo, notch: Notch) -> None:
    repo.write("tallystick.toml", PLAN.replace('grade = "claimed"\n', ""))
    repo.commit()
    repo.write("../good.xml", PASSING)
    notch("import", "../good.xml", "-c", "tests")
    assert state(notch) == "missing"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("<testsuite/>", "no test was executed"),
        ('<testsuite><testcase name="a"><skipped/></testcase></testsuite>', "no test was executed (1 skipped)"),
    ],
)
def test_a_report_of_nothing_does_not_pass(repo: GitRepo, notch: Notch, text: str, reason: str) -> None:
    done = notch("import", "-", input=text)
    assert reason in done.stdout
    assert newest(repo).entry.status == "fail"


@pytest.mark.parametrize(
    "text",
    [
        '<!DOCTYPE x [<!ENTITY a "aa">]><testsuite><testcase name="&a;"/></testsuite>',
        "<testsuite><testcase",
        '{"no": "report"}',
        "words",
        "",
    ],
)
def test_what_is_no_report_is_refused_in_one_line(repo: GitRepo, notch: Notch, text: str) -> None:
    done = notch("import", "-", input=text, code=2)
    assert len(done.stderr.splitlines()) == 1
    assert notch.json("tasks") == []


def test_secrets_do_not_reach_the_ledger(repo: GitRepo, notch: Notch) -> None:
    text = '<testsuite><testcase name="hunter2hunter2"><failure>hunter2hunter2</failure></testcase></testsuite>'
    notch("import", "-", input=text, env={"DEPLOY_TOKEN": "hunter2hunter2"})
    with Ledger.open(str(repo.root / ".tallystick/ledger.db"), read_only=True) as ledger:
        assert "hunter2hunter2" not in json.dumps(ledger.entry("work", 1).entry.to_dict())


def test_options_of_reports_are_refused_elsewhere(repo: GitRepo, notch: Notch, tmp_path: Path) -> None:
    session = tmp_path / "session.json"
    session.write_text('{"schema_version": 1, "task_id": "old", "entries": []}')
    assert "-c and --command go with reports" in notch("import", session, "-c", "tests", code=2).stderr
    assert "not imported at once" in notch("import", session, DATA / "junit/pytest.xml", code=2).stderr
    assert "formats: bundle, scafld, junit" in notch("import", session, "--format", "pdf", code=2).stderr


# notch run --report


def write(text: str, file: str = "out.xml") -> str:
    return f"printf %s '{text}' > {file}"


def test_the_counts_are_those_of_the_report(repo: GitRepo, notch: Notch) -> None:
    notch("run", "-c", "tests", "--report", "out.xml", "--", "sh", "-c", f"echo '9 passed in 1s'; {write(PASSING)}")
    entry = newest(repo).entry
    assert (entry.status, entry.reason) == ("pass", "exit code was 0; 2 tests")
    tests = entry.details["run"]["tests"]
    assert (tests["format"], tests["counts"]["executed"], tests["files"][0]["path"]) == ("junit", 2, "out.xml")
    assert list(entry.details["run"]["products"]) == ["out.xml"], "the report is no input"


def test_a_report_that_tells_of_failures_fails_whatever_the_exit_code(repo: GitRepo, notch: Notch) -> None:
    repo.git("checkout", "-q", "main")
    repo.write("tallystick.toml", PLAN.replace("make test", write(FAILING).replace('"', '\\"')))
    repo.commit()
    repo.git("checkout", "-q", "-B", "work")
    notch("run", "-c", "tests", "--report", "out.xml")
    assert newest(repo).entry.reason == "1 of 2 tests failed: b"
    assert state(notch) == "fail", "the gate says the same as the recorded status"


@pytest.mark.parametrize("ignored", [False, True])
def test_an_old_report_never_counts(repo: GitRepo, notch: Notch, ignored: bool) -> None:
    if ignored:
        repo.write(".gitignore", "*.xml\n")
    old = repo.write("out.xml", PASSING)
    notch("run", "-c", "tests", "--report", "out.xml", "--", "true")
    entry = newest(repo).entry
    assert (entry.status, entry.reason) == ("fail", "out.xml: the command wrote no report")
    assert not old.exists()


def test_an_old_report_that_git_has_is_kept_and_never_counts(repo: GitRepo, notch: Notch) -> None:
    old = repo.write("sub/out.xml", PASSING)
    repo.commit()
    notch("run", "--report", "out.xml", "--", "true", cwd=old.parent)
    assert "was not written anew" in newest(repo).entry.reason
    assert old.read_text() == PASSING
    times = (old.stat().st_atime_ns, old.stat().st_mtime_ns)
    notch("run", "--report", "out.xml", "--", "sh", "-c", write(PASSING), cwd=old.parent)
    assert newest(repo).entry.status == "pass", "the same bytes, but written by this run"
    os.utime(old, ns=times)
    notch("run", "--report", "out.xml", "--", "true", cwd=old.parent)
    assert newest(repo).entry.status == "fail"


def test_a_second_run_over_its_own_report_is_fresh(repo: GitRepo, notch: Notch) -> None:
    for text in (PASSING, PASSING.replace('"a"', '"c"')):
        notch("run", "-c", "tests", "--report", "out.xml", "--", "sh", "-c", write(text))
        assert newest(repo).entry.status == "pass"
        assert "moved" not in newest(repo).entry.details["run"]


@pytest.mark.parametrize("text", ["not a report", "<testsuite><testcase"])
def test_a_report_that_cannot_be_read_fails(repo: GitRepo, notch: Notch, text: str) -> None:
    notch("run", "--report", "out.xml", "--", "sh", "-c", write(text))
    entry = newest(repo).entry
    assert entry.status == "fail"
    assert "the report cannot be read" in entry.reason


def test_nobodys_file_is_removed_for_a_slip_of_the_hand(repo: GitRepo, notch: Notch) -> None:
    mine = repo.write("notes.txt", "my notes\n")
    done = notch("run", "--report", "notes.txt", "--", "true", code=2)
    assert "is no report, so it is not removed" in done.stderr
    assert mine.read_text() == "my notes\n"
    assert "no file" in notch("run", "--report", ".", "--", "true", code=2).stderr
    notch("init")
    assert "is no report" in notch("run", "--report", ".tallystick/ledger.db", "--", "true", code=2).stderr


def test_what_the_command_ended_with_is_still_said(repo: GitRepo, notch: Notch) -> None:
    notch("run", "--report", "out.xml", "--", "sh", "-c", "exit 3", code=3)
    assert newest(repo).entry.reason == "exit code 3, expected 0; out.xml: the command wrote no report"


def test_the_plans_expectation_is_held_against_the_report(repo: GitRepo, notch: Notch) -> None:
    repo.write("tallystick.toml", PLAN + 'expect = { tests = ">= 3" }\n')
    notch("run", "-c", "tests", "--report", "out.xml", "--", "sh", "-c", write(PASSING))
    assert newest(repo).entry.reason == "tests: 2, expected >= 3"


def test_text_that_cannot_be_read_does_not_fail_a_run(repo: GitRepo, notch: Notch) -> None:
    report = PASSING.replace("</testsuite>", "<system-out>\x1b[0;32mready\x1b[0m</system-out></testsuite>")
    repo.write("run.sh", "cat given.xml > report.xml\n")
    repo.write("given.xml", report)
    notch("run", "-c", "tests", "--report", "report.xml", "--", "sh", "run.sh")
    entry = newest(repo).entry
    assert entry.status == "pass"
    assert entry.reason.endswith("2 tests (left out, since it cannot be read: system-out in line 1)")
    repo.write("given.xml", report.replace('name="b"', 'name="\x1b"'))
    notch("run", "-c", "tests", "--report", "report.xml", "--", "sh", "run.sh", check=False)
    assert newest(repo).entry.status == "fail"
    assert "the attribute name of <testcase> cannot be read" in newest(repo).entry.reason


def test_a_guess_is_recorded_as_one(repo: GitRepo, notch: Notch) -> None:
    repo.write("out.txt", "F.\n1 failed, 1 passed in 0.01s\n..\n2 passed in 0.02s\n")
    notch("run", "-c", "tests", "--", "cat", "out.txt")
    entry = newest(repo).entry
    assert entry.status == "pass"
    tests = entry.details["run"]["tests"]
    assert (tests["counts"]["executed"], tests["inside"]) == (2, ["pytest: 1 of 2 tests failed"])
    notch("run", "-c", "tests", "--", "sh", "-c", "cat out.txt | cat", check=False)
    entry = newest(repo).entry
    assert (entry.status, entry.reason) == ("fail", "pytest: 1 of 2 tests failed, although the exit code was 0")
