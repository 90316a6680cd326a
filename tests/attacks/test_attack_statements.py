"""Statements of keys: replayed in another place, made twice by one party, about something else than they name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from attack_world import Done, World

Row = Callable[..., None]
WRITER = "somebody who may push branches"
PLAN = """\
[criteria.tests]
run = "sh test.sh"
{grade}
[gate]
id = "0123456789abcdef0123456789abcdef"
protect = ["test.sh", "build (old)/**"]

[keys.ada]
public = "{vkey}"
roles = ["approve", "attest"]
"""


def signed(folder: Path, grade: str = "") -> World:
    """A repository whose base trusts the key of its maintainer, who works in the same clone with a home of his own."""
    world = World(folder, plan="")
    keeper = {"HOME": str(world.folder / "keeper")}
    Path(keeper["HOME"]).mkdir()
    world.env["KEEPER"] = keeper["HOME"]
    assert world.notch("init", "--no-plan").code == 0
    assert world.notch("key", "new", env=keeper).code == 0
    world.write("tallystick.toml", PLAN.format(grade=grade, vkey=world.notch("key", "show", env=keeper).out.strip()))
    world.write("test.sh", "grep -q good code.txt\n")
    world.write("build (old)/x", "1\n")
    world.write("code.txt", "good\n")
    world.write(".gitignore", ".tallystick/\n")
    world.commit("Base")
    world.push("main")
    world.branch()
    return world


def by_keeper(world: World, *words: str) -> Done:
    """A command of the maintainer, who has the key."""
    done = world.notch(*words, env={"HOME": world.env["KEEPER"]})
    assert done.code == 0, done.said
    return done


@pytest.fixture
def approved(tmp_path: Path) -> World:
    """The maintainer let a weaker test pass on the branch `evil`, and its gate is open."""
    world = signed(tmp_path / "world")
    world.write("test.sh", "true\n")
    world.commit()
    assert world.notch("check").code == 1
    by_keeper(world, "approve", "--reason", "for this once")
    assert world.notch("gate").opened
    return world


def test_an_approval_for_another_change_of_the_same_file(approved: World, row: Row) -> None:
    approved.write("test.sh", "exit 0\n")
    approved.commit()
    assert approved.notch("check").code == 1
    row("at home", WRITER, "changes a protected file further once its change was approved",
        "an approval names the blobs of each protected file", approved.notch("gate"), 1)  # fmt: skip


def test_an_approval_after_the_merge(approved: World, row: Row) -> None:
    approved.git("checkout", "-q", "main")
    approved.git("merge", "-q", "--no-ff", "-m", "Merge", "evil")
    approved.push("main")
    approved.write("test.sh", "grep -q good code.txt # as before\n")
    approved.commit("Make it strict again")
    approved.push("main")
    approved.git("checkout", "-q", "evil")
    approved.git("merge", "-q", "main")
    approved.write("test.sh", "true\n")
    approved.commit("Once more")
    approved.notch("check")
    row("at home", WRITER, "uses an approval again after the change was merged and taken back",
        "a merge ends an approval", approved.notch("gate"), 1)  # fmt: skip


def test_an_approval_that_is_moved_to_another_task(approved: World, row: Row) -> None:
    exported = approved.folder / "evil.bundle"
    assert approved.notch("export", "evil", "--format", "bundle", "-o", exported).code == 0
    shutil.rmtree(approved.work / ".tallystick")
    approved.git("checkout", "-q", "-b", "other", "evil")
    assert approved.notch("init", "--no-plan").code == 0
    assert approved.notch("import", exported).code == 0
    approved.notch("check")
    row("at home", WRITER, "imports the session that an approval lies in, and works on under another name",
        "an approval names its task", approved.notch("gate"), 1)  # fmt: skip


def test_a_file_whose_name_looks_like_a_description(tmp_path: Path, row: Row) -> None:
    world = signed(tmp_path / "world")
    world.write("build (old)/x", "2\n")
    world.commit()
    world.notch("check")
    by_keeper(world, "approve", "--reason", "only that")
    assert world.notch("gate").opened
    world.write("build (old)/y (modified)", "evil\n")
    world.commit()
    world.notch("check")
    row("at home", WRITER, "adds a protected file whose name reads like an approved change",
        "protected files are bound by path, mode and blob, not in words", world.notch("gate"), 1)  # fmt: skip


@pytest.mark.parametrize("how", ["executable", "link"])
def test_the_kind_of_a_protected_file(approved: World, how: str) -> None:
    file = approved.work / "test.sh"
    if how == "executable":
        file.chmod(0o755)
    else:
        approved.write("elsewhere.sh", "true\n")
        file.unlink()
        file.symlink_to("elsewhere.sh")
    approved.commit()
    approved.notch("check")
    assert not approved.notch("gate").opened


def test_one_key_is_not_two_parties(tmp_path: Path, row: Row) -> None:
    world = signed(tmp_path / "world", 'grade = "reproduced"')
    assert world.notch("check").code == 1
    by_keeper(world, "attest")
    world.notch("reproduce")
    by_keeper(world, "attest")
    row("at home", "thief of one key", "attests a result and its own reproduction of it with the same key",
        "one public key is one party, and a reproduction takes another one", world.notch("gate"), 1)  # fmt: skip


def test_one_key_under_two_names(tmp_path: Path, row: Row) -> None:
    world = signed(tmp_path / "world")
    text = (world.work / "tallystick.toml").read_text()
    public = next(line for line in text.splitlines() if line.startswith("public"))
    world.write("tallystick.toml", f'{text}\n[keys.bob]\n{public}\nroles = ["approve"]\n')
    world.commit()
    row("at home", WRITER, "lists one public key under two names, for a quorum of two",
        "a key under two names is refused", world.notch("gate"), 2)  # fmt: skip


def test_statements_that_are_recorded_by_hand(tmp_path: Path) -> None:
    world = signed(tmp_path / "world")
    for name in ("approval", "attestation", "run", "content"):
        done = world.notch("record", "--type", "note", "--details", json.dumps({name: {"note": "x"}}))
        assert done.code == 2, done.said
