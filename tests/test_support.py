"""The shared fixtures do what the other tests take for granted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from support.command import notch_argv
from support.environment import isolated
from support.repository import GitRepo


def test_nothing_reaches_a_test_from_outside(tmp_path: Path) -> None:
    outside = {
        "PATH": "/usr/bin",
        "HOME": "/somewhere",
        "GIT_DIR": "/somewhere/.git",
        "TALLYSTICK_LEDGER": "/somewhere/ledger.db",
        "TALLYSTICK_TEST_POSTGRES": "postgresql://localhost/t",
        "XDG_CONFIG_HOME": "/somewhere/config",
        "GITHUB_REF_NAME": "main",
        "PGHOST": "db",
        "CI": "true",
        "LANG": "de_DE.UTF-8",
    }
    inside = isolated(outside, home=tmp_path, git_config=tmp_path / "gitconfig")
    assert inside["HOME"] == str(tmp_path)
    assert inside["TALLYSTICK_TEST_POSTGRES"] == "postgresql://localhost/t"
    assert inside["LANG"] == "de_DE.UTF-8"
    assert inside.keys().isdisjoint(
        {"GIT_DIR", "TALLYSTICK_LEDGER", "XDG_CONFIG_HOME", "GITHUB_REF_NAME", "PGHOST", "CI"}
    )


def test_the_environment_of_a_test_is_isolated(home: Path) -> None:
    assert os.environ["HOME"] == str(home)
    assert list(home.iterdir()) == []
    assert {name for name in os.environ if name.startswith(("GIT_", "TALLYSTICK_", "XDG_"))} == {
        "GIT_CONFIG_GLOBAL",
        "GIT_CONFIG_NOSYSTEM",
        "GIT_TERMINAL_PROMPT",
    } | {name for name in os.environ if name.startswith("TALLYSTICK_TEST_")}


def test_python_on_the_path_is_the_one_that_runs_the_tests() -> None:
    found = subprocess.run(
        ["python", "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == sys.prefix


def test_git_repo_commits_with_a_known_author(git_repo: GitRepo) -> None:
    git_repo.write("a/b.txt", "one\n")
    git_repo.write("run.sh", "#!/bin/sh\n", executable=True)
    commit = git_repo.commit("First")
    assert git_repo.git("log", "--format=%H %an %s", "main") == f"{commit} Test Author First"
    assert git_repo.git("ls-files", "--stage", "run.sh").startswith("100755 ")
    assert git_repo.tree() == git_repo.git("write-tree")


def test_the_command_line_runs_this_package() -> None:
    assert notch_argv("--version")[-1] == "--version"
    assert Path(notch_argv()[0]).parent == Path(sys.executable).parent
