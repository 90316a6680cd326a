"""The block of shell that stands in a git hook: put in, taken out, read by real shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tallystick.agents.hook_script import (
    BEGIN,
    COMMIT_MSG,
    END,
    HOOKS,
    PRE_PUSH,
    block,
    block_in,
    takes_block,
    whole_file,
    with_block,
    without_block,
)

COMMAND = ["/opt/with space/it's/notch"]
scripts = st.text("#!/bin/sh\nexit 1 é", max_size=60).filter(lambda text: BEGIN not in text)


@given(scripts, st.sampled_from(HOOKS), st.booleans())
def test_what_is_put_in_comes_out_again(script: str, name: str, kept: bool) -> None:
    ours = block(name, COMMAND, calls_kept=kept)
    script = script if script.endswith("\n") or not script.startswith("#!") else script + "\n"
    beside = with_block(script, ours)
    assert block_in(beside) == ours
    assert without_block(beside) == script
    assert with_block(beside, ours) == beside


def test_the_block_is_the_first_statement() -> None:
    ours = block(PRE_PUSH, COMMAND)
    assert with_block("#!/bin/bash -e\necho\n", ours) == f"#!/bin/bash -e\n{ours}echo\n"
    assert with_block("echo\n", ours) == f"{ours}echo\n"


def test_a_file_of_our_own_goes_away_whole() -> None:
    mine = whole_file(block(PRE_PUSH, COMMAND))
    assert without_block(mine) is None
    assert without_block(mine + "echo more\n") == "#!/bin/sh\necho more\n"


def test_a_block_with_one_mark_is_none() -> None:
    assert block_in(f"#!/bin/sh\n{BEGIN}\necho\n") == ""
    assert block_in(f"#!/bin/sh\n{END}\n{BEGIN}\n") == ""


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (b"#!/bin/sh\n", True),
        (b"#!/usr/bin/env bash\n", True),
        (b"#!/usr/bin/env -S bash -e\n", True),
        (b"#! /bin/dash -e\n", True),
        (b"#!/usr/bin/env -S LANG=C zsh\n", True),
        (b"echo no shebang\n", True),
        (b"", True),
        (b"#!/usr/bin/env python3\n", False),
        (b"#!/usr/bin/env -S node --flag\n", False),
        (b"#!/usr/bin/fish\n", False),
        (b"#!\n", False),
        (b"\x7fELF\0\0", False),
    ],
)
def test_which_hooks_take_a_block(script: bytes, expected: bool) -> None:
    assert takes_block(script) is expected


@pytest.mark.parametrize("shell", ["sh", "dash", "bash", "ksh", "zsh", "busybox"])
@pytest.mark.parametrize("name", HOOKS)
def test_every_shell_reads_it(shell: str, name: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell} here")
    script = tmp_path / name
    script.write_text(whole_file(block(name, COMMAND, ledger="/a b/l.db", calls_kept=True)))
    argv = [shell, "sh", "-n"] if shell == "busybox" else [shell, "-n"]
    assert subprocess.run([*argv, script], capture_output=True).stderr == b""


@pytest.mark.parametrize("shell", ["sh", "bash"])
@pytest.mark.parametrize("flags", ["", "-eu"])
@pytest.mark.parametrize(
    ("notch", "goes_on"),
    [
        ("echo shut; exit 1", False),
        ("echo shut", False),
        ("echo open", True),
        ("exit 1", True),
        ("exit 3", True),
        ("exit 127", True),
        ("echo shutter; exit 1", True),
        ("kill -9 $$", True),
    ],
)
def test_only_the_word_stops_a_push(shell: str, flags: str, notch: str, goes_on: bool, tmp_path: Path) -> None:
    """And what git wrote is there for whoever comes after."""
    command = tmp_path / "notch"
    command.write_text(f"#!/bin/sh\ncat >{tmp_path}/seen\n{notch}\n")
    command.chmod(0o755)
    refs = "refs/heads/x 1 refs/heads/x 2\nrefs/heads/$(y) 1 `z` 2\n"
    script = with_block(f'#!/bin/{shell} {flags}\ncat\necho "$0 $1" after\n', block(PRE_PUSH, [str(command)]))
    hook = tmp_path / "pre-push"
    hook.write_text(script)
    argv = [shell, *([flags] if flags else []), str(hook), "origin"]
    done = subprocess.run(argv, input=refs, env={"PATH": "/bin:/usr/bin"}, capture_output=True, text=True)
    assert (tmp_path / "seen").read_text() == refs
    assert (done.returncode, done.stdout) == ((0, f"{refs}{hook} origin after\n") if goes_on else (1, ""))


def test_nothing_on_standard_input_stays_nothing(tmp_path: Path) -> None:
    hook = tmp_path / "pre-push"
    hook.write_text(with_block("#!/bin/sh\nwc -c\n", block(PRE_PUSH, [])))
    done = subprocess.run(["sh", hook], input="", env={"PATH": "/bin:/usr/bin"}, capture_output=True, text=True)
    assert done.stdout.strip() == "0"
    assert done.stderr == "notch: not found, so nothing is judged\n"


def test_a_commit_goes_on_whatever_happens(tmp_path: Path) -> None:
    for ending in ("exit 1", "kill -9 $$", "echo shut; exit 3"):
        command = tmp_path / "notch"
        command.write_text(f"#!/bin/sh\n{ending}\n")
        command.chmod(0o755)
        hook = tmp_path / "commit-msg"
        hook.write_text(with_block("#!/bin/sh -e\necho after\n", block(COMMIT_MSG, [str(command)])))
        done = subprocess.run(["sh", "-e", hook, "msg"], capture_output=True, text=True)
        assert (done.returncode, done.stdout) == (0, "after\n")


def test_another_notch_is_taken_where_the_first_cannot_run(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "notch", tmp_path / "b" / "notch"
    for path, text in ((first, "#!/nowhere/python\n"), (second, '#!/bin/sh\necho "$*" >&2\n')):
        path.parent.mkdir()
        path.write_text(text)
        path.chmod(0o755)
    hook = tmp_path / "pre-push"
    hook.write_text(whole_file(block(PRE_PUSH, [str(first)], ledger="/x/l.db")))
    path = f"{second.parent}:/bin:/usr/bin"
    done = subprocess.run(["sh", hook, "origin"], input="", env={"PATH": path}, capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stderr.endswith("hook run --ledger /x/l.db pre-push origin\n")
