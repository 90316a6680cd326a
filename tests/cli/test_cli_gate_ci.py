"""The action and the template for CI, run as a job runs them: on a clone, in the environment of a job."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from support.command import Notch, notch_argv
from support.repository import GitRepo
from tallystick import Ledger

ROOT = Path(__file__).resolve().parents[2]
PLAN = """\
[criteria.tests]
run = "printf '::error::not ours\\\\n'; test \\"$(cat src)\\" != bad"
inputs = ["src"]
[criteria.page]
manual = true
inputs = ["src"]
"""
yaml = pytest.importorskip("yaml", reason="needs PyYAML to read the action and the template as CI does")

if shutil.which("bash") is None:
    pytest.skip("needs bash", allow_module_level=True)


@pytest.fixture
def origin(tmp_path: Path) -> GitRepo:
    repo = GitRepo.create(tmp_path / "origin")
    repo.write("src", "good")
    repo.write("tallystick.toml", PLAN)
    repo.commit()
    repo.git("checkout", "-q", "-b", "add-cache")
    repo.write("src", "better")
    repo.commit()
    return repo


class Job:
    """A job of GitHub on a pull request: a clone with a detached head, and the files that the runner sets."""

    def __init__(self, origin: GitRepo, tmp_path: Path) -> None:
        self.repo = origin.clone(tmp_path / "workspace")
        self.repo.git("checkout", "-q", "--detach", "origin/add-cache")
        self.temp = tmp_path / "runner-temp"
        self.temp.mkdir()
        self.number = 0
        self.action = yaml.safe_load((ROOT / "action.yml").read_text())
        bin_ = tmp_path / "bin"
        bin_.mkdir()
        (bin_ / "notch").symlink_to(notch_argv()[0])
        self.given = {"notch": str(bin_ / "notch")}

    def run(self, code: int = 0, **given: str) -> tuple[str, str, dict[str, str]]:
        """Every step of the action that is a script: what was printed, the summary, the outputs."""
        inputs = {name: one["default"] for name, one in self.action["inputs"].items()} | self.given | given
        printed, summary, outputs = "", "", {}
        for step in self.action["runs"]["steps"]:
            if "run" not in step or (step.get("if") == "inputs.notch == ''" and inputs["notch"]):
                continue
            self.number += 1
            files = {name: self.temp / f"{name}-{self.number}" for name in ("GITHUB_STEP_SUMMARY", "GITHUB_OUTPUT")}
            for file in files.values():
                file.touch()
            values = {name: self._value(text, inputs) for name, text in step.get("env", {}).items()}
            done = self._bash(step["run"], {**values, **{name: str(file) for name, file in files.items()}})
            printed += done.stdout
            summary += files["GITHUB_STEP_SUMMARY"].read_text()
            outputs |= dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines())
            assert done.returncode == code, done.stdout + done.stderr
        return printed, summary, outputs

    def _value(self, text: str, inputs: dict[str, Any]) -> str:
        return re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda found: str(inputs[found[1]]), text)

    def _bash(self, script: str, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
        file = self.temp / "step.sh"
        file.write_text(script)
        event = self.temp / "event.json"
        event.write_text(json.dumps({"repository": {"default_branch": "main"}}))
        environment = {
            **os.environ,
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_BASE_REF": "main",
            "GITHUB_EVENT_NAME": "pull_request",
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REPOSITORY": "owner/repo",
            "GITHUB_RUN_ID": "7",
            "GITHUB_RUN_ATTEMPT": "1",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_WORKSPACE": str(self.repo.root),
            "GITHUB_HEAD_REF": "add-cache",
            "GITHUB_REF_NAME": "7/merge",
            "RUNNER_TEMP": str(self.temp),
            **more,
        }
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(file)],
            cwd=self.repo.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def job(origin: GitRepo, tmp_path: Path) -> Job:
    return Job(origin, tmp_path)


def commands_to_runner(printed: str) -> list[str]:
    """The workflow commands that a runner would take, those between stop-commands and its token left out."""
    found, stopped = [], ""
    for line in map(str.lstrip, printed.splitlines()):
        if stopped:
            stopped = "" if line == f"::{stopped}::" else stopped
        elif line.startswith("::stop-commands::"):
            stopped = line.removeprefix("::stop-commands::")
        elif line.startswith("::"):
            found.append(line)
    return found


def test_a_job_runs_what_is_missing_and_says_what_is_left(job: Job) -> None:
    printed, summary, outputs = job.run(code=1)
    assert "check: 1 run" in printed
    head = re.search(r"gate shut  add-cache  as of \S+, head (\d+:[0-9a-f]{64})", printed)
    assert head is not None, printed
    assert outputs["verdict"] == "shut"
    assert outputs["head"] == head[1]
    errors = commands_to_runner(printed)
    assert len(errors) == 1
    assert re.match(r"::error file=tallystick\.toml,title=notch%3A page::missing: ", errors[0])
    assert "this machine is not CI" not in printed
    assert summary.startswith("## Gate shut: `add-cache`")
    assert "| tests | ✅ pass | observed |" in summary


def test_the_evidence_is_kept_whole(job: Job, tmp_path: Path) -> None:
    _, _, outputs = job.run(code=1)
    folder = Path(outputs["evidence"])
    with Ledger.open(str(folder / "ledger.db"), read_only=True) as ledger:
        assert str(ledger.head("add-cache")) == outputs["head"]
        ledger.verify("add-cache")
    Notch(tmp_path)("verify", folder / "evidence.bundle")


def test_the_gate_opens_and_nothing_is_run_twice(job: Job) -> None:
    job.run(code=1)
    notch = Notch(job.repo.root)
    ledger = {"TALLYSTICK_LEDGER": str(job.temp / "tallystick-ledger/ledger.db")}
    notch("record", "-t", "add-cache", "--type", "criterion", "-c", "page", "--status", "pass", env=ledger)
    printed, summary, outputs = job.run()
    assert "check: nothing to run" in printed
    assert commands_to_runner(printed) == []
    assert outputs["verdict"] == "open"
    assert summary.startswith("## Gate open")


def test_a_failing_criterion_ends_the_job(job: Job) -> None:
    job.repo.write("src", "bad")
    printed, _, _ = job.run(code=1)
    assert any("tests::fail: exit code" in line.replace("%3A", ":") for line in commands_to_runner(printed))


def test_only_judging_runs_nothing(job: Job) -> None:
    printed, _, _ = job.run(code=1, check="false", artifact="")
    assert "check:" not in printed
    assert len(commands_to_runner(printed)) >= 2


def test_a_mistake_is_an_annotation_and_no_traceback(job: Job) -> None:
    job.repo.write("tallystick.toml", "[criteria")
    printed, _, outputs = job.run(code=2)
    assert any(line.startswith("::error title=notch::notch: tallystick.toml") for line in commands_to_runner(printed))
    assert "verdict" not in outputs


def test_a_shallow_checkout_is_told(origin: GitRepo, job: Job, tmp_path: Path) -> None:
    shutil.rmtree(job.repo.root)
    origin.git("clone", "-q", "--depth", "1", f"file://{origin.root}", job.repo.root)
    printed, _, _ = job.run(code=2)
    assert any("fetch-depth: 0" in line for line in commands_to_runner(printed))


def test_the_action_is_safe_to_call() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    for step in action["runs"]["steps"]:
        assert "${{" not in step.get("run", ""), "what is given never becomes part of a script"
        assert "run" not in step or step["shell"] == "bash"
    for script in (ROOT / "ci/github").glob("*.sh"):
        subprocess.run(["bash", "-n", str(script)], check=True)


# GitLab


def test_the_template_run_as_a_job(origin: GitRepo, job: Job) -> None:
    jobs = yaml.safe_load((ROOT / "ci/gitlab/tallystick.yml").read_text())
    told = {"CI": "true", "GITLAB_CI": "true", "CI_DEFAULT_BRANCH": "main", "CI_PIPELINE_ID": "7"}
    job.repo.git("remote", "set-url", "origin", origin.root)
    for name, code in (("notch-check", 0), ("notch-gate", 1)):
        template = jobs[name]
        environment = {**os.environ, **template["variables"], **told, "NOTCH_INSTALL": ""}
        environment |= {"CI_COMMIT_REF_NAME": "add-cache", "CI_COMMIT_BRANCH": "add-cache"}
        environment["PATH"] = f"{Path(job.given['notch']).parent}:{environment['PATH']}"
        script = "\n".join(["set -e", *template["script"]])
        done = subprocess.run(
            ["sh", "-c", script], cwd=job.repo.root, env=environment, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, done.stdout + done.stderr
    assert re.search(r"gate shut  add-cache  as of \S+, head 2:[0-9a-f]{64}", done.stdout)
    reports = template["artifacts"]["reports"]
    (issue,) = json.loads((job.repo.root / reports["codequality"]).read_text())
    assert issue["description"].startswith("page: missing: ")
    suite = ET.parse(job.repo.root / reports["junit"]).getroot()
    assert [(case.get("name"), len(case)) for case in suite.iter("testcase")] == [("tests", 0), ("page", 1)]
    assert (job.repo.root / "tallystick-evidence/ledger.db").exists()
    assert job.repo.git("status", "--porcelain") == "", "the evidence is no content"
