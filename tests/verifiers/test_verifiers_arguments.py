"""What both verifiers are asked on the command line: whatever is not understood is an error, never a check left out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from support.command import notch_argv
from support.forge import KEY, Forge
from support.mutations import COSIGNED, POLICY, STRANGER
from support.verifiers import NODE, VERIFIER
from tallystick.proof.note import SignedNote

HOLDS, FAILS, REFUSED = range(3)
ONLY_NODE: dict[str, int] = {
    "a date alone": REFUSED,
    "a time without a zone": REFUSED,
    "a time in another zone": REFUSED,
    "two files": REFUSED,
}
"""What notch takes: several files, each verified, and times without a zone, which are UTC there. A page has neither."""
ARGUMENTS: dict[str, tuple[str, int]] = {
    "the key": ("{bundle} --key {key}", HOLDS),
    "the key before the file": ("--key {key} {bundle}", HOLDS),
    "the key behind =": ("{bundle} --key={key}", HOLDS),
    "two keys": ("{bundle} --key {stranger} --key {key}", HOLDS),
    "a file of keys": ("--keys {keys} {bundle}", HOLDS),
    "a file of keys behind =": ("--keys={keys} {bundle}", HOLDS),
    "a file and a key": ("{bundle} --keys {strangers} --key {key}", HOLDS),
    "a policy that nobody cosigned for": ("{bundle} --keys {policy}", FAILS),
    "a stranger's key": ("{bundle} --key {stranger}", FAILS),
    "a stranger's key behind =": ("--key={stranger} {bundle}", FAILS),
    "a stranger's file of keys": ("--keys {strangers} {bundle}", FAILS),
    "no key": ("{bundle}", HOLDS),
    "no key where one is asked for": ("{bundle} --require-signature", REFUSED),
    "a key where one is asked for": ("--require-signature {bundle} --key {key}", HOLDS),
    "a stranger's key where one is asked for": ("--require-signature {bundle} --key {stranger}", FAILS),
    "a value where none is taken": ("{bundle} --require-signature=no", REFUSED),
    "a key without a value": ("{bundle} --key", REFUSED),
    "an empty key": ("{bundle} --key {empty}", REFUSED),
    "an empty key behind =": ("{bundle} --key=", REFUSED),
    "a key whose value is an option": ("--key --keys {keys} {bundle}", REFUSED),
    "what is no key": ("{bundle} --key nonsense", REFUSED),
    "an empty file of keys": ("{bundle} --keys {nothing}", REFUSED),
    "a file of keys that is not there": ("{bundle} --keys missing", REFUSED),
    "an empty name of a file of keys": ("{bundle} --keys {empty}", REFUSED),
    "two files of keys": ("{bundle} --keys {strangers} --keys {keys}", REFUSED),
    "a folder of keys": ("{bundle} --keys .", REFUSED),
    "an unknown option": ("{bundle} --trust {key}", REFUSED),
    "an unknown short option": ("-k {key} {bundle}", REFUSED),
    "the beginning of an option": ("{bundle} --ke {key}", REFUSED),
    "an option in upper case": ("{bundle} --KEY {key}", REFUSED),
    "an option behind a dash of another kind": ("{bundle} \u2013-key {key}", REFUSED),
    "two files": ("{bundle} {bundle} --key {key}", HOLDS),
    "two files, the first of which is none": ("{nothing} {bundle}", REFUSED),
    "two files, the last of which is not there": ("{bundle} missing.bundle", REFUSED),
    "a file that is not there": ("missing.bundle", REFUSED),
    "a folder": ("./.", REFUSED),
    "a file that is no bundle": ("{nothing}", REFUSED),
    "a file behind --": ("--key {key} -- {bundle}", HOLDS),
    "an option behind --": ("-- {bundle} --key={stranger}", REFUSED),
    "a time": ("{bundle} --not-before 2026-11-24T10:35:05Z", HOLDS),
    "a time with a fraction": ("{bundle} --not-before 2026-11-24T10:35:05.000009Z", HOLDS),
    "a later time": ("{bundle} --not-before 2026-11-24T10:35:05.00001Z", FAILS),
    "a much later time": ("{bundle} --not-before=2027-01-01T00:00:00Z", FAILS),
    "a date alone": ("{bundle} --not-before 2026-01-01", HOLDS),
    "a time without a zone": ("{bundle} --not-before 2026-11-24T10:35:05", HOLDS),
    "a time in another zone": ("{bundle} --not-before 2026-11-24T11:35:05+01:00", HOLDS),
    "a day that does not exist": ("{bundle} --not-before 2026-11-31T00:00:00Z", REFUSED),
    "an hour that does not exist": ("{bundle} --not-before 2026-11-24T25:00:00Z", REFUSED),
    "a number": ("{bundle} --not-before 1", REFUSED),
    "a name that a date could be guessed from": ("{bundle} --not-before checkpoint-2", REFUSED),
    "a file of that kind that is not there": ("{bundle} --not-before note.3", REFUSED),
    "two words that a date could be guessed from": ("{bundle} --not-before {spaced}", REFUSED),
    "an empty bound": ("{bundle} --not-before {empty}", REFUSED),
    "a bound without a value": ("{bundle} --not-before", REFUSED),
    "two bounds": ("{bundle} --not-before 2027-01-01T00:00:00Z --not-before 2026-01-01T00:00:00Z", REFUSED),
    "a checkpoint": ("{bundle} --not-before {checkpoint}", HOLDS),
    "an older checkpoint that nothing is proved of": ("{bundle} --not-before {older}", FAILS),
    "a checkpoint of another ledger": ("{bundle} --not-before {foreign}", FAILS),
    "a checkpoint that is none": ("{bundle} --not-before {keys}", REFUSED),
    "a folder as a checkpoint": ("{bundle} --not-before .", REFUSED),
}

Ask = Callable[[str], tuple[int, int]]

pytestmark = pytest.mark.skipif(NODE is None, reason="node is not installed")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The folder, and what the words in braces stand for."""
    folder = tmp_path_factory.mktemp("arguments")
    text = SignedNote.parse(COSIGNED).text
    files = {
        "bundle": Forge().bundle(),
        "keys": f"# mine\n{KEY.key}\n".encode(),
        "strangers": f"{STRANGER.key}\n".encode(),
        "policy": POLICY.encode(),
        "nothing": b"",
        "checkpoint": COSIGNED.encode(),
        "older": Forge().note(text.replace("\n2\n", "\n1\n")).encode(),
        "foreign": COSIGNED.replace("tallystick/0", "tallystick/1").encode(),
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    words = {"key": str(KEY.key), "stranger": str(STRANGER.key), "empty": "", "spaced": "ckpt 2", "folder": str(folder)}
    return {**{name: name for name in files}, **words}


def _run(argv: list[str], world: dict[str, str], zone: str = "UTC") -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "TZ": zone}
    return subprocess.run(argv, cwd=world["folder"], env=env, capture_output=True, text=True, timeout=60, check=False)


def _words(line: str, world: dict[str, str]) -> list[str]:
    return [word.format(**world) for word in line.split(" ")]


def by_node(line: str, world: dict[str, str], zone: str = "UTC") -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    return _run([NODE, "--no-warnings", str(VERIFIER), *_words(line, world)], world, zone)


@pytest.mark.parametrize("name", ARGUMENTS)
def test_node_leaves_no_check_out(name: str, world: dict[str, str]) -> None:
    line, expected = ARGUMENTS[name]
    done = by_node(line, world)
    assert done.returncode == ONLY_NODE.get(name, expected), done.stderr
    assert (json.loads(done.stdout)["position"] == 4) if done.returncode == HOLDS else (done.stdout == "")
    checked = "--key" in line
    assert ("its signature was not checked" in done.stderr) == (done.returncode == HOLDS and not checked)
    assert "    at " not in done.stderr
    if done.returncode != HOLDS:
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ARGUMENTS)
def test_notch_leaves_no_check_out(name: str, world: dict[str, str]) -> None:
    line, expected = ARGUMENTS[name]
    done = _run(notch_argv("verify", *_words(line, world)), world)
    assert done.returncode == expected, done.stderr
    assert (done.stdout == "") == (done.returncode != HOLDS)
    if done.returncode != HOLDS:
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def test_a_time_is_the_same_wherever_it_is_asked(zone: str, world: dict[str, str]) -> None:
    for bound, expected in (("10:35:05.000009Z", HOLDS), ("10:35:05.000010Z", FAILS)):
        line = f"{{bundle}} --not-before 2026-11-24T{bound}"
        assert by_node(line, world, zone).returncode == expected
        assert _run(notch_argv("verify", *_words(line, world)), world, zone).returncode == expected


def test_help_and_usage(world: dict[str, str]) -> None:
    for option in ("--help", "-h"):
        done = by_node(option, world)
        assert (done.returncode, done.stderr) == (HOLDS, "")
        assert done.stdout.startswith("usage: node notch-verify.mjs FILE")
    assert NODE is not None
    done = _run([NODE, str(VERIFIER)], world)
    assert (done.returncode, done.stdout) == (REFUSED, "")
    assert done.stderr.startswith("usage: node notch-verify.mjs FILE")


def test_it_runs_under_any_name(world: dict[str, str], tmp_path: Path) -> None:
    """A verifier that does nothing when it is called otherwise would exit with 0."""
    assert NODE is not None
    shutil.copy(VERIFIER, tmp_path / "renamed.mjs")
    (tmp_path / "link.mjs").symlink_to(VERIFIER)
    for name in ("renamed.mjs", "link.mjs"):
        for options in ([], ["--preserve-symlinks-main"]):
            argv = [NODE, *options, str(tmp_path / name), "bundle", "--key"]
            assert _run([*argv, str(STRANGER.key)], world).returncode == FAILS, name
            assert _run([*argv, str(KEY.key)], world).returncode == HOLDS, name


def test_a_file_that_is_not_there_is_said_to_be_missing(world: dict[str, str]) -> None:
    for name in ("missing.bundle", "./missing", "sub/missing.bundle"):
        for done in (by_node(name, world), _run(notch_argv("verify", name), world)):
            assert done.returncode == REFUSED
            assert "no such file" in done.stderr
            assert "ledger" not in done.stderr


MISTAKES = """
const { verifyBundle } = await import(process.argv[1]);
const { readFile } = await import("node:fs/promises");
const [bundle, vkey] = process.argv.slice(2);
for (const options of [
  { key: vkey }, { keys: vkey }, { keys: [7] }, { keys: [""] }, { notbefore: "x" }, { notBefore: 1 },
  { notBefore: "1" },
  { notBefore: "2026-11-24" }, { requireSignature: true }, { keyFile: "" }, { keys: null }, { keyFile: 7 },
]) {
  try {
    await verifyBundle(await readFile(bundle), options);
    console.log("taken", JSON.stringify(options));
  } catch (error) {
    console.log(error.code);
  }
}
for (const given of [undefined, 7, {}, "\\ud800", ""]) {
  try {
    await verifyBundle(given);
    console.log("taken", given);
  } catch (error) {
    console.log(error.code);
  }
}
"""


def test_a_program_that_asks_wrongly_is_told(world: dict[str, str]) -> None:
    assert NODE is not None
    argv = [NODE, "--input-type=module", "-e", MISTAKES, VERIFIER.as_uri(), "bundle", str(STRANGER.key)]
    assert _run(argv, world).stdout.split() == ["2"] * 17
