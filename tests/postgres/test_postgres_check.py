"""Checks on a ledger that machines share: claims and citations hold there too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.checks import Project
from support.repository import GitRepo


@pytest.fixture
def url(as_role: Callable[[str], str]) -> str:
    return as_role("tallystick_writer")


def run(command: str) -> str:
    return f'run = {json.dumps(command)}\ninputs = ["a"]\n'


def test_two_at_once_run_each_criterion_once_and_another_task_cites(
    git_repo: GitRepo, tmp_path: Path, url: str
) -> None:
    git_repo.write("a", "1")
    project = Project(git_repo, tmp_path / "outside")
    names = [f"c{number}" for number in range(4)]
    project.plan({name: run(project.counted(name, "sleep 0.2")) for name in names})
    project.begin("one")
    env = {"TALLYSTICK_LEDGER": url}
    checks = [project.start("check", "-j", "2", env=env) for _ in range(2)]
    for check in checks:
        code, out, err = check.result()
        assert code == 0, out + err
    assert {name: project.runs(name) for name in names} == dict.fromkeys(names, 1)
    git_repo.git("checkout", "-q", "-b", "two")
    done = project.notch("check", env=env)
    assert "check: 4 reused" in done.stdout
    assert {name: project.runs(name) for name in names} == dict.fromkeys(names, 1)
    project.notch("verify", env=env)
