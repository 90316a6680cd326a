"""Which program a command runs."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from tallystick.capture.executable import (
    CommandNotRunError,
    DigestTask,
    file_digest,
    find_executable,
    resolve_executable,
)


def program(path: Path, text: str = "#!/bin/sh\n", mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_the_real_path_and_its_digest(tmp_path: Path) -> None:
    real = program(tmp_path / "real" / "tool-2.1", "#!/bin/sh\nexit 3\n")
    link = tmp_path / "bin" / "tool"
    link.parent.mkdir()
    link.symlink_to(real)
    found = resolve_executable(["tool", "--fast"], env={"PATH": str(link.parent)})
    assert found == {"path": str(real.resolve()), "sha256": sha256(real)}


def test_path_is_searched_as_a_shell_does(tmp_path: Path) -> None:
    program(tmp_path / "a" / "tool", mode=0o644)
    (tmp_path / "b" / "tool").mkdir(parents=True)
    right = program(tmp_path / "c" / "tool")
    env = {"PATH": os.pathsep.join(str(tmp_path / name) for name in "abc")}
    assert find_executable("tool", env=env) == str(right)


@pytest.mark.parametrize(
    ("name", "code", "why"),
    [
        ("nothing-of-that-name", 127, "nothing-of-that-name: command not found"),
        ("./missing", 127, "./missing: No such file or directory"),
        ("./folder", 126, "./folder: Is a directory"),
        ("./plain", 126, "./plain: Permission denied"),
        ("plain", 126, "plain: Permission denied"),
        ("", 127, ": command not found"),
    ],
)
def test_what_cannot_be_run(tmp_path: Path, name: str, code: int, why: str) -> None:
    (tmp_path / "folder").mkdir()
    program(tmp_path / "plain", mode=0o644)
    with pytest.raises(CommandNotRunError) as caught:
        find_executable(name, env={"PATH": str(tmp_path)}, cwd=str(tmp_path))
    assert (caught.value.exit_code, str(caught.value)) == (code, why)
    assert resolve_executable([name], env={"PATH": str(tmp_path)}, cwd=str(tmp_path)) is None


def test_relative_names_are_relative_to_the_commands_directory(tmp_path: Path) -> None:
    tool = program(tmp_path / "bin" / "tool")
    for name, path in (("bin/tool", ""), ("tool", "bin")):
        found = resolve_executable([name], env={"PATH": path}, cwd=str(tmp_path))
        assert found == {"path": str(tool.resolve()), "sha256": sha256(tool)}


def test_without_path_the_systems_own_is_searched() -> None:
    assert find_executable("sh", env={}).endswith("/sh")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("tool -q", True),
        ("  tool", True),
        ("tool; other", True),
        ("tool|cat", True),
        ("tool>file", True),
        ("tool\n", True),
        ("X=1 tool", False),
        ("tool=1", False),
        ("'tool' -q", False),
        ("$TOOL", False),
        ("tool$X", False),
        ("to\\ol", False),
        ("(tool)", False),
        ("missing -q", False),
        ("echo hello", False),
        ("if true; then tool; fi", False),
        ("", False),
    ],
)
def test_a_shell_string_names_the_shell_and_a_plain_first_word(tmp_path: Path, text: str, named: bool) -> None:
    tool = program(tmp_path / "tool")
    program(tmp_path / "echo")
    shell = os.path.realpath("/bin/sh")
    expected: dict[str, object] = {"path": shell, "sha256": sha256(shell)}
    if named:
        expected["command"] = {"path": str(tool.resolve()), "sha256": sha256(tool)}
    assert resolve_executable(text, env={"PATH": str(tmp_path)}) == expected


def test_a_digest_is_of_the_bytes_as_they_are_now(tmp_path: Path) -> None:
    tool = program(tmp_path / "tool", "one")
    first = file_digest(str(tool))
    before = tool.stat()
    tool.write_text("two")
    os.utime(tool, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file_digest(str(tool)) == sha256(tool) != first


def test_an_unchanged_file_is_read_once(tmp_path: Path) -> None:
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(200 << 20)
    begin = time.perf_counter()
    first = file_digest(str(big))
    middle = time.perf_counter()
    assert file_digest(str(big)) == first
    assert (time.perf_counter() - middle) * 10 < middle - begin


def test_an_unreadable_file_has_no_digest(tmp_path: Path) -> None:
    assert file_digest(str(tmp_path)) == ""
    assert file_digest(str(tmp_path / "missing")) == ""


def test_a_digest_can_be_made_in_the_background(tmp_path: Path) -> None:
    tool = program(tmp_path / "tool")
    with (tmp_path / "tool").open("ab") as file:
        file.truncate(200 << 20)
    begin = time.perf_counter()
    task = DigestTask([str(tool)])
    made = time.perf_counter() - begin
    found = task.result()
    assert found == {"path": str(tool.resolve()), "sha256": sha256(tool)}
    assert task.result() == found
    assert made * 3 < time.perf_counter() - begin


def test_a_background_failure_is_raised_where_it_is_asked_for() -> None:
    with pytest.raises(TypeError):
        DigestTask([None]).result()  # type: ignore[list-item]
