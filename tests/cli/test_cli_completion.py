"""What shells offer after `notch`, asked of the shells themselves."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from support.command import Notch, notch_argv
from support.repository import GitRepo
from tallystick.cli.commands import COMMANDS

NASTY = "$(touch${IFS}pwned)"
PLAN = (
    '[criteria.unit]\nrun = "true"\n[criteria."odd one"]\nrun = "true"\n[tasks.add-cache.criteria.ac1]\nrun = "true"\n'
)


def needs(shell: str) -> str:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"needs {shell}, which is not installed here")
    return found


@pytest.fixture
def repo(git_repo: GitRepo, notch: Notch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GitRepo:
    """A repository with tasks and a plan; `notch` is on the path."""
    git_repo.write("tallystick.toml", PLAN)
    for task in ("add-cache", "add-page", NASTY):
        notch("record", "-t", task, "--type", "note")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "notch").symlink_to(notch_argv()[0])
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return git_repo


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the script for each shell."""
    folder = tmp_path_factory.mktemp("scripts")
    for shell in ("bash", "zsh", "fish"):
        (folder / shell).write_text(Notch(folder)("completion", shell).stdout)
    return folder


def ask_bash(repo: GitRepo, scripts: Path, *words: str) -> list[str]:
    """What bash offers for the last of the words."""
    script = f"source {scripts}/bash; "
    script += 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _notch; '
    script += 'printf "%s\\n" "${COMPREPLY[@]+"${COMPREPLY[@]}"}"'
    done = subprocess.run(
        [needs("bash"), "--norc", "-c", script, "bash", "notch", *words],
        cwd=repo.root,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return [line for line in done.stdout.splitlines() if line]


BASH_CASES: list[tuple[list[str], list[str]]] = [
    (["ga"], ["gate"]),
    (["--ve"], ["--version"]),
    (["--ledger", "x.db", "ex"], ["export"]),
    (["gate", "--format", "g"], ["github", "gitlab"]),
    (["gate", "--fo"], ["--format"]),
    (["key", ""], ["new", "show", "list", "retire"]),
    (["key", "new", "l"], []),
    (["status", "add-"], ["add-cache", "add-page"]),
    (["log", "-n", "5", "add-p"], ["add-page"]),
    (["show", "add-cache", "add"], []),
    (["verify", "add-cache", "add-p"], ["add-page"]),
    (["record", "--task", "add-c"], ["add-cache"]),
    (["run", "-c", ""], ["unit", "odd\\ one", "ac1"]),
    (["why", "a"], ["ac1"]),
    (["run", "-c", "unit", "--", "notc"], ["notch"]),
    (["run", "--", "sh", "-"], []),
    (["backup", "x"], []),
]


def test_bash(repo: GitRepo, scripts: Path) -> None:
    for words, offered in BASH_CASES:
        assert list(dict.fromkeys(ask_bash(repo, scripts, *words))) == offered, words


def test_bash_knows_every_command_and_its_options(repo: GitRepo, scripts: Path) -> None:
    assert set(ask_bash(repo, scripts, "")) == {*COMMANDS, "--help", "--version", "--ledger"}
    script = (scripts / "bash").read_text()
    for name in COMMANDS:
        assert f"{name}) _notch_words -h --help" in script


def test_a_name_from_the_ledger_is_never_run(repo: GitRepo, scripts: Path) -> None:
    (offered,) = ask_bash(repo, scripts, "status", "$")
    assert shlex.split(offered) == [NASTY]
    assert not (repo.root / "pwned").exists()


def type_into(argv: list[str], setup: str, lines: dict[str, str], repo: GitRepo) -> None:
    """Types each line and the Tab key into an interactive shell, and waits for what it is to become."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(repo.root)
        os.environ.update(TERM="dumb", PS1="> ")
        os.execvp(argv[0], argv)
    try:
        os.write(terminal, f"{setup}; PS1='> '; echo re''ady\n".encode())
        _read_until(terminal, "ready\n")
        for line, completed in lines.items():
            time.sleep(0.5)
            os.write(terminal, f"{line}\t".encode())
            _read_until(terminal, completed)
            os.write(terminal, b"\x15\n")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def _read_until(terminal: int, wanted: str) -> None:
    """Reads until that is on the screen; raises AssertionError where it does not come."""
    text, end = "", time.monotonic() + 30
    while wanted not in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|.\x08|[\r\x07]", "", text):
        left = end - time.monotonic()
        assert left > 0, (wanted, text)
        if select.select([terminal], [], [], left)[0]:
            text += os.read(terminal, 65536).decode("utf-8", "replace")


TYPED = {
    "notch handof": "notch handoff",
    "notch status add-c": "notch status add-cache",
    "notch gate --format gitl": "notch gate --format gitlab",
    "notch why un": "notch why unit",
}


def test_bash_at_the_keyboard(repo: GitRepo, scripts: Path) -> None:
    type_into([needs("bash"), "--norc", "-i"], f"source {scripts}/bash", TYPED, repo)


def test_zsh_at_the_keyboard(repo: GitRepo, scripts: Path) -> None:
    setup = f"autoload -Uz compinit; compinit -u -D; source {scripts}/zsh"
    type_into([needs("zsh"), "-f", "-i"], setup, TYPED, repo)


def ask_fish(repo: GitRepo, scripts: Path, line: str) -> list[str]:
    script = f"source {scripts}/fish; complete -C {shlex.quote(line)}"
    done = subprocess.run(
        [needs("fish"), "--no-config", "-c", script], cwd=repo.root, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == ""
    return [text.partition("\t")[0] for text in done.stdout.splitlines()]


FISH_CASES = [
    ("notch ga", ["gate"]),
    ("notch gate --format g", ["github", "gitlab"]),
    ("notch gate --fo", ["--format"]),
    ("notch status add-", ["add-cache", "add-page"]),
    ("notch record -t add-c", ["add-cache"]),
    ("notch why un", ["unit"]),
    ("notch key n", ["new"]),
]


def test_fish(repo: GitRepo, scripts: Path) -> None:
    for line, offered in FISH_CASES:
        assert sorted(ask_fish(repo, scripts, line)) == sorted(offered), line


def test_names_are_printed_where_there_are_any(git_repo: GitRepo, notch: Notch) -> None:
    assert notch("completion", "tasks").stdout == ""
    assert notch("completion", "criteria").stdout == ""
    git_repo.write("tallystick.toml", "[criteria")
    assert notch("completion", "criteria").stdout == ""
    git_repo.write("tallystick.toml", PLAN)
    assert notch("completion", "criteria").stdout.splitlines() == ["unit", "odd one", "ac1"]
    assert not (git_repo.root / ".tallystick").exists()
