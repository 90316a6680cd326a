"""The tamper corpus: every manipulation in `tests/data/tamper/corpus.json` is caught, by each verifier that sees it."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from support.command import notch_argv
from support.forge import KEY
from support.tamper_edits import manipulated
from support.tamper_kept import cosigned_bundle, first_fault, kept_note, told, trusted_keys
from support.tamper_world import World
from tallystick import CheckFailedError, InputError, Ledger, StoreUnavailableError, TamperedError
from tallystick.cli.bundle import verify_file
from tallystick.trust.against import Trusted

HERE = Path(__file__).parent
CORPUS: list[dict[str, Any]] = json.loads((HERE / "data/tamper/corpus.json").read_text(encoding="utf-8"))
VERIFIER = HERE.parent / "tools/notch-verify.mjs"
BUNDLES = [row for row in CORPUS if row["of"] == "bundle"]
STORES = [row for row in CORPUS if row["of"] == "store"]
CHECKPOINTS = [row for row in CORPUS if row["of"] == "checkpoint"]
NODE = shutil.which("node")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def test_the_corpus_is_large_and_names_each_manipulation_once() -> None:
    assert len(CORPUS) >= 60
    assert len({row["manipulation"] for row in CORPUS}) == len(CORPUS)


def test_the_table_in_the_documentation_is_this_corpus() -> None:
    page = (HERE.parent / "docs/explanation/tamper-table.md").read_text(encoding="utf-8").splitlines()
    assert page[2:] == [
        f"| {row['manipulation']} | {row['of']} | {row['caught_by']} | {row['message']} |" for row in CORPUS
    ]


HONEST = ("t", "u", "old", "forked", "other", "absent", "absent then")
DRIVER = """
import { readFile } from "node:fs/promises";
const { verifyBundle } = await import(process.argv[2]);
const found = [];
for (const [file, options] of JSON.parse(await readFile(process.argv[1], "utf8"))) {
  try {
    await verifyBundle(await readFile(file, "utf8"), options);
    found.push([0, ""]);
  } catch (error) {
    found.push([error.code ?? -1, error.message]);
  }
}
console.log(JSON.stringify(found));
"""


@pytest.fixture(scope="module")
def cases(world: World, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, list[str], str]]:
    """Every bundle to verify, by name: its file, the keys to ask for, and the time that it must not be before."""
    folder = tmp_path_factory.mktemp("bundles")
    newest = json.loads(json.loads(world.bundles["t"][1])["proof"]["leaf"])["at"]
    found: dict[str, tuple[Path, list[str], str]] = {}
    for name in HONEST:
        found[name] = (folder / f"{name}.bundle", [] if name == "other" else [world.vkey], "")
        found[name][0].write_text("".join(world.bundles[name]), encoding="utf-8")
    for number, row in enumerate(BUNDLES):
        edit = row["edit"]
        keys = {
            "forger": [str(KEY.key)],
            "wrong": [world.wrong_vkey],
            "retired": [f"{world.vkey} until 1"],
            True: [world.vkey],
        }
        path = folder / f"{number}.bundle"
        path.write_bytes("".join(manipulated(world, edit)).encode())
        bound = newest if edit.get("not_before") else ""
        if "kept" in edit:
            bound = str(folder / f"{number}.kept")
            Path(bound).write_text(world.notes[edit["kept"]], encoding="utf-8")
        found[row["manipulation"]] = (path, keys.get(edit.get("keys"), []), bound)
    return found


@pytest.fixture(scope="module")
def javascript(
    cases: dict[str, tuple[Path, list[str], str]], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, str]]:
    if NODE is None:
        pytest.skip("node is not installed")
    return by_javascript(cases, tmp_path_factory.mktemp("javascript"))


def by_javascript(cases: dict[str, tuple[Path, list[str], str]], folder: Path) -> dict[str, tuple[int, str]]:
    """What the JavaScript verifier says of each, in one process."""
    files = [
        (str(path), {"keys": keys, "notBefore": Path(bound).read_text("utf-8") if bound.endswith(".kept") else bound})
        for path, keys, bound in cases.values()
    ]
    listed = folder / "cases.json"
    listed.write_text(json.dumps(files), encoding="utf-8")
    argv = [str(NODE), "--input-type=module", "-e", DRIVER, str(listed), VERIFIER.as_uri()]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=True)
    return dict(zip(cases, (tuple(one) for one in json.loads(done.stdout)), strict=True))


def _verify(case: tuple[Path, list[str], str]) -> None:
    path, keys, bound = case
    trusted = [Trusted.parse(vkey) for vkey in keys] or None
    verify_file(str(path), Namespace(not_before=bound), trusted)


@pytest.mark.parametrize("name", HONEST)
def test_what_nobody_touched_verifies(cases: dict[str, tuple[Path, list[str], str]], name: str) -> None:
    _verify(cases[name])


@pytest.mark.parametrize("name", HONEST)
def test_what_nobody_touched_verifies_in_javascript(javascript: dict[str, tuple[int, str]], name: str) -> None:
    assert javascript[name] == (0, "")


@pytest.mark.parametrize("row", BUNDLES, ids=lambda row: row["manipulation"])
def test_a_bundle_is_caught(cases: dict[str, tuple[Path, list[str], str]], row: dict[str, Any]) -> None:
    with pytest.raises((TamperedError, InputError, CheckFailedError, StoreUnavailableError)) as caught:
        _verify(cases[row["manipulation"]])
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, StoreUnavailableError) == (row["caught_by"] == "later version")
    assert told(caught.value) == row["message"]


@pytest.mark.parametrize("row", BUNDLES, ids=lambda row: row["manipulation"])
def test_a_bundle_is_caught_in_javascript(javascript: dict[str, tuple[int, str]], row: dict[str, Any]) -> None:
    code, told = javascript[row["manipulation"]]
    assert code in ((4,) if row["caught_by"] == "later version" else (1, 2, 3)), told


@pytest.mark.parametrize(
    ("cosigned", "kept", "refused"),
    [
        (("first", "second"), False, ""),
        (("second",), True, ""),
        (("second",), False, "none of the keys given signed the older checkpoint 1"),
        (("first",), True, "the quorum 'both' did not cosign the checkpoint; nobody did"),
    ],
)
def test_a_policy_of_witnesses_judges_a_bundle(
    world: World, cosigned: tuple[str, ...], kept: bool, refused: str, tmp_path: Path
) -> None:
    path, note = tmp_path / "cosigned.bundle", tmp_path / "note"
    path.write_text("".join(cosigned_bundle(world, cosigned)), encoding="utf-8")
    note.write_text(world.notes["first"], encoding="utf-8")
    told = ""
    try:
        verify_file(str(path), Namespace(not_before=str(note) if kept else ""), trusted_keys(world, {"trusted": "two"}))
    except CheckFailedError as error:
        told = error.what
    assert told == refused


INSERTED = (b"", b"0", b"A", b" ", b"\n", b"=", b"\\u0041", b"\x7f")


def test_no_byte_can_be_changed(world: World, tmp_path: Path) -> None:
    """What the corpus does not think of: bytes of a signed bundle replaced, dropped and added at random places."""
    chance = random.Random(7)
    honest = "".join(world.bundles["u"]).encode()
    cases: dict[str, tuple[Path, list[str], str]] = {}
    for number in range(200):
        data, place = bytearray(honest), chance.randrange(len(honest))
        data[place : place + chance.randrange(3)] = chance.choice(
            (b"", b"0", b"A", b" ", b"\n", b"=", b"\\u0041", b"\x7f")
        )
        if data != honest:
            cases[str(number)] = (tmp_path / f"{number}.bundle", [world.vkey], "")
            cases[str(number)][0].write_bytes(data)
    for case in cases.values():
        with pytest.raises((TamperedError, InputError, CheckFailedError)):
            _verify(case)
    if NODE is not None:
        assert [number for number, (code, _) in by_javascript(cases, tmp_path).items() if code not in (1, 2, 3)] == []


def test_the_commands_say_it_in_a_line(cases: dict[str, tuple[Path, list[str], str]]) -> None:
    path, keys, _ = cases["flip a byte of a text part"]
    options = [word for key in keys for word in ("--key", key)]
    done = subprocess.run(notch_argv("verify", str(path), *options), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "position 2: its text was changed" in done.stderr
    if NODE:
        done = subprocess.run([NODE, str(VERIFIER), str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)


def _edit(path: Path, statements: list[str]) -> None:
    """Run the statements with the triggers out of the way."""
    copy = sqlite3.connect(path)
    triggers = copy.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        copy.execute(f'DROP TRIGGER "{name}"')
    for statement in statements:
        before = copy.total_changes
        copy.execute(statement)
        assert copy.total_changes > before or "local_" in statement, "the manipulation changed nothing"
    for _, sql in triggers:
        copy.execute(sql)
    copy.commit()
    copy.close()


@pytest.mark.parametrize("row", STORES, ids=lambda row: row["manipulation"])
def test_a_store_is_caught(world: World, row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    shutil.copy(world.root / "a.db", path)
    _edit(path, [row["sql"]])
    with pytest.raises(TamperedError) as caught, Ledger.open(str(path), read_only=True) as ledger:
        ledger.verify()
    assert told(caught.value) == row["message"]


@pytest.mark.parametrize("row", CHECKPOINTS, ids=lambda row: row["manipulation"])
def test_a_ledger_that_a_kept_checkpoint_does_not_fit_is_caught(
    world: World, row: dict[str, Any], tmp_path: Path
) -> None:
    edit = row["edit"]
    path = tmp_path / "copy.db"
    shutil.copy(world.root / f"{edit.get('ledger', 'a')}.db", path)
    _edit(path, edit.get("sql", []))
    with Ledger.open(str(path), read_only=True) as ledger:
        assert first_fault(ledger, kept_note(world, edit), trusted_keys(world, edit)) == row["message"]


@pytest.mark.parametrize("trusted", ["", "policy", "two"])
def test_a_ledger_fits_the_checkpoints_that_it_made(world: World, trusted: str) -> None:
    edit = {"kept": "second", "trusted": trusted, "note": "cosigned" if trusted else ""}
    with Ledger.open(str(world.root / "a.db"), read_only=True) as ledger:
        assert first_fault(ledger, kept_note(world, edit), trusted_keys(world, edit)) == ""
