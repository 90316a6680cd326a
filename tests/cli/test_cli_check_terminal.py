"""A check at a real terminal: a live line for each run, and the terminal as it was afterwards."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from capture.capture_support import Typist
from support.checks import Project
from support.command import notch_argv
from support.repository import GitRepo


@pytest.fixture
def project(git_repo: GitRepo, tmp_path: Path) -> Project:
    git_repo.write("a", "1")
    return Project(git_repo, tmp_path / "outside")


def at_a_terminal(project: Project, *args: str, term: str = "xterm", size: tuple[int, int] = (24, 80)) -> Typist:
    argv = notch_argv(*args)
    return Typist(argv, cwd=project.root, env={"TERM": term}, size=size)


def run(command: str) -> str:
    return f'run = {json.dumps(command)}\ninputs = ["a"]\n'


def test_what_runs_has_a_live_line(project: Project) -> None:
    go = project.outside / "go"
    project.plan({"slow": run(f"printf 'step 1\\nstep 2\\r'; while [ ! -e {go} ]; do sleep 0.02; done")})
    project.begin()
    with at_a_terminal(project, "check") as typist:
        typist.expect(b"slow  running ")
        typist.expect(b"step 2")
        go.touch()
        typist.expect(b"\x1b[32m\xe2\x9c\x93\x1b[0m slow  \x1b[32mpass ")
        typist.expect(b"check: 1 run")
        typist.expect(b"gate \x1b[32mopen\x1b[0m")
        assert typist.wait() == 0
        assert typist.is_cooked
    shown = screen(typist.seen)
    assert sum("slow  running" in line for line in shown) == 0, "the live line is taken away"
    assert sum("slow  pass" in line for line in shown) == 2, "once when it ended, once by the gate"


def test_ctrl_c_stops_it(project: Project) -> None:
    project.plan({"slow": run("sleep 60"), "quick": run("true")})
    project.begin()
    with at_a_terminal(project, "check", "-j", "2") as typist:
        typist.expect(b"slow   running ")
        typist.expect(b"quick")
        typist.expect(b"pass ")
        typist.type(b"\x03")
        typist.expect(b"interrupted")
        typist.expect(b"gate ")
        assert typist.wait() == 1
        assert typist.is_cooked
    assert project.states() == {"slow": "interrupted", "quick": "pass"}


def test_many_at_once_fit_a_small_window(project: Project) -> None:
    project.plan({f"c{n}": run(f": {n}; sleep 0.5") for n in range(8)})
    project.begin()
    with at_a_terminal(project, "check", "-j", "8", size=(5, 30)) as typist:
        assert typist.wait() == 0
    lines = re.findall(rb"\x1b\[K([^\r\n\x1b]*)", typist.seen)
    assert lines
    assert all(len(line.decode()) < 30 for line in lines), "a live line is never broken"
    ups = [int(number) for number in re.findall(rb"\x1b\[(\d+)A", typist.seen)]
    assert 0 < max(ups) <= 3


def test_without_colours(project: Project) -> None:
    project.plan({"one": run("true")})
    project.begin()
    with at_a_terminal(project, "check", term="dumb") as typist:
        assert typist.wait() == 0
    assert b"\x1b" not in typist.seen


def screen(data: bytes) -> list[str]:
    """What stands on a terminal of unlimited height in the end: lines, cursor up, erasing, colours."""
    lines, row, column = [""], 0, 0
    for token in re.findall(r"\x1b\[[0-9;]*[A-Za-z]|[^\x1b]", data.decode()):
        if token == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            column = 0
        elif token.endswith("A") and token[0] == "\x1b":
            row -= int(token[2:-1])
        elif token == "\x1b[K":
            lines[row] = lines[row][:column]
        elif token == "\x1b[J":
            lines = [*lines[:row], lines[row][:column]]
        elif token[0] != "\x1b":
            lines[row] = lines[row][:column] + token + lines[row][column + 1 :]
            column += 1
    return lines
