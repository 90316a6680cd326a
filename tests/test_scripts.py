"""The targets of the Makefile and the scripts behind them, on machines that lack something."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text("utf-8")


class Machine:
    """A PATH that holds the tools a script calls, and the Pythons that a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        shutil.copytree(ROOT / "scripts", self.checkout / "scripts")
        self._bin = folder / "bin"
        self._bin.mkdir()
        for tool in ("sh", "dirname", "sed"):
            found = shutil.which(tool)
            assert found
            (self._bin / tool).symlink_to(found)

    def add_python(self, name: str, version: str, *, venv: bool = True, works: bool = True) -> Path:
        """A Python of the test's making, which answers what the scripts ask as one of that version would."""
        major, minor = version.split(".")
        has_venv = "" if venv else "*ensurepip*) exit 1;;"
        script = self._bin / name
        script.write_text(
            f"#!/bin/sh\n"
            f"[ {int(works)} = 1 ] || exit 127\n"
            f'case "$*" in --version) echo "Python {version}.0"; exit;; {has_venv} esac\n'
            f"code=$(printf '%s' \"$2\" | sed 's/sys.version_info/sys.fake/g')\n"
            f'exec {sys.executable} -c "import sys; sys.fake = ({major}, {minor}, 0)\n$code"\n'
        )
        script.chmod(0o755)
        return script

    def run(self, script: str, *args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.checkout / "scripts" / script, *args],
            env={**os.environ, "PATH": str(self._bin)},
            capture_output=True,
            text=True,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_newest_python_is_taken(machine: Machine) -> None:
    machine.add_python("python3.11", "3.11")
    newest = machine.add_python("python3.13", "3.13")
    machine.add_python("python3", "3.12")
    assert machine.run("find-python").stdout.strip() == str(newest)


def test_a_python_of_another_name_is_taken_where_it_is_the_only_one(machine: Machine) -> None:
    machine.add_python("python3.13", "3.13", works=False)
    other = machine.add_python("python3", "3.12")
    assert machine.run("find-python").stdout.strip() == str(other)


@pytest.mark.parametrize("version", ["3.10", "3.15", "2.7"])
def test_a_python_out_of_range_is_not_taken(machine: Machine, version: str) -> None:
    machine.add_python("python3", version)
    done = machine.run("find-python")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("no Python 3.11 to 3.14 found: ")


def test_no_python_at_all_is_said_in_one_line(machine: Machine) -> None:
    done = machine.run("venv")
    assert done.returncode == 1
    assert done.stderr == ("no Python 3.11 to 3.14 found: install one, or name it: make PYTHON=/path/to/python3 …\n")


def test_a_python_without_venv_names_the_package_to_install(machine: Machine) -> None:
    machine.add_python("python3", "3.12", venv=False)
    done = machine.run("venv")
    assert done.returncode == 1
    assert done.stderr == "python3 has no venv module: on Debian and Ubuntu, apt install python3.12-venv\n"


def test_a_python_named_by_the_caller_is_looked_at_too(machine: Machine) -> None:
    old = machine.add_python("python3.8", "3.8")
    done = machine.run("venv", str(old))
    assert done.returncode == 1
    assert done.stderr == f"{old} is too old: tallystick needs Python 3.11 or newer\n"


def test_every_target_is_listed_by_help() -> None:
    targets = set(re.findall(r"^([a-z]+):", MAKEFILE, re.MULTILINE))
    phony = re.search(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)
    assert phony
    assert targets == set(phony[1].split())
    assert targets - {"help"} == set(re.findall(r'echo "make ([a-z]+) ', MAKEFILE))


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\b(?:scripts|demo|benchmarks)/[\w.-]+", MAKEFILE))))
def test_what_a_target_runs_is_there(path: str) -> None:
    assert (ROOT / path).is_file()
    assert path.endswith(".py") or os.access(ROOT / path, os.X_OK)
