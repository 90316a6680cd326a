"""The tamper corpus: every manipulation in `tests/data/tamper/corpus.json` is caught, by each verifier that sees it."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest

from support.command import notch_argv
from support.tamper_world import Lines, World, dumped, edited, flip_base64, flip_hex, flip_text
from tallystick import CheckFailedError, InputError, Ledger, TamperedError
from tallystick.cli.bundle import verify_file
from tallystick.proof.note import SignedNote, sign
from tallystick.trust.against import Trusted

HERE = Path(__file__).parent
CORPUS: list[dict[str, Any]] = json.loads((HERE / "data/tamper/corpus.json").read_text(encoding="utf-8"))
VERIFIER = HERE.parent / "tools/notch-verify.mjs"
BUNDLES = [row for row in CORPUS if row["of"] == "bundle"]
STORES = [row for row in CORPUS if row["of"] == "store"]
NODE = shutil.which("node")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("world"))


def test_the_corpus_is_large_and_names_each_manipulation_once() -> None:
    assert len(CORPUS) >= 60
    assert len({row["manipulation"] for row in CORPUS}) == len(CORPUS)


def test_the_table_in_the_documentation_is_this_corpus() -> None:
    page = (HERE.parent / "docs/explanation/tamper-table.md").read_text(encoding="utf-8").splitlines()
    assert page[2:] == [f"| {row['manipulation']} | {row['of']} | {row['caught_by']} |" for row in CORPUS]


HONEST = ("t", "u", "old", "later", "forked", "other")
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
        keys = {"wrong": [world.wrong_vkey], True: [world.vkey]}.get(edit.get("keys"), [])
        path = folder / f"{number}.bundle"
        path.write_text("".join(_manipulated(world, edit)), encoding="utf-8")
        found[row["manipulation"]] = (path, keys, newest if edit.get("not_before") else "")
    return found


@pytest.fixture(scope="module")
def javascript(cases: dict[str, tuple[Path, list[str], str]]) -> dict[str, tuple[int, str]]:
    """What the JavaScript verifier says of each, in one process."""
    if NODE is None:
        pytest.skip("node is not installed")
    files = [(str(path), {"keys": keys, "notBefore": bound}) for path, keys, bound in cases.values()]
    listed = next(iter(cases.values()))[0].parent / "cases.json"
    listed.write_text(json.dumps(files), encoding="utf-8")
    argv = [NODE, "--input-type=module", "-e", DRIVER, str(listed), VERIFIER.as_uri()]
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
    with pytest.raises((TamperedError, InputError, CheckFailedError)) as caught:
        _verify(cases[row["manipulation"]])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("row", BUNDLES, ids=lambda row: row["manipulation"])
def test_a_bundle_is_caught_in_javascript(javascript: dict[str, tuple[int, str]], row: dict[str, Any]) -> None:
    code, told = javascript[row["manipulation"]]
    assert code in (1, 2, 3), told


def test_the_commands_say_it_in_a_line(cases: dict[str, tuple[Path, list[str], str]]) -> None:
    path, keys, _ = cases["flip a byte of a text part"]
    options = [word for key in keys for word in ("--key", key)]
    done = subprocess.run(notch_argv("verify", str(path), *options), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "position 2: its text was changed" in done.stderr
    if NODE:
        done = subprocess.run([NODE, str(VERIFIER), str(path)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (3, 1)


@pytest.mark.parametrize("row", STORES, ids=lambda row: row["manipulation"])
def test_a_store_is_caught(world: World, row: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    shutil.copy(world.root / "a.db", path)
    copy = sqlite3.connect(path)
    triggers = copy.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in triggers:
        copy.execute(f'DROP TRIGGER "{name}"')
    before = copy.total_changes
    copy.execute(row["sql"])
    assert copy.total_changes > before, "the manipulation changed nothing"
    for _, sql in triggers:
        copy.execute(sql)
    copy.commit()
    copy.close()
    with pytest.raises(TamperedError) as caught, Ledger.open(str(path), read_only=True) as ledger:
        ledger.verify()
    assert "\n" not in str(caught.value)


# --- the manipulations


def _manipulated(world: World, edit: dict[str, Any]) -> Lines:
    lines = list(world.bundles["t"])
    op, number, path = edit["op"], edit.get("line", 0), edit.get("path", [])
    simple = {
        "flip64": lambda: edited(lines, number, path, flip_base64),
        "fliphex": lambda: edited(lines, number, path, flip_hex),
        "add": lambda: edited(lines, number, path, lambda value: value + edit["by"]),
        "drop": lambda: lines[:number] + lines[len(lines) + number + 1 if number < 0 else number + 1 :],
        "double": lambda: [*lines[: number % len(lines) + 1], *lines[number % len(lines) :]],
        "append": lambda: [*lines, edit["text"]],
        "cut": lambda: [*lines[:-1], lines[-1][:-3]],
        "none": lambda: lines,
        "bundle": lambda: world.bundles[edit["source"]],
    }
    if op in simple:
        return simple[op]()
    return _composed(world, edit, lines)


def _composed(world: World, edit: dict[str, Any], lines: Lines) -> Lines:
    op = edit["op"]
    if op == "set":
        fields = json.loads(lines[edit["line"]])
        fields[edit["path"][0]] = edit["value"]
        return [*lines[: edit["line"]], dumped(fields), *lines[edit["line"] + 1 :]]
    if op == "unset":
        fields = json.loads(lines[edit["line"]])
        del fields[edit["path"][0]]
        return [*lines[: edit["line"]], dumped(fields), *lines[edit["line"] + 1 :]]
    if op == "swap":
        one, other = edit["lines"]
        lines[one], lines[other] = lines[other], lines[one]
        return lines
    if op == "shorten":
        shorter = edited([*lines[:-2], lines[-1]], 0, ["position"], lambda value: value - 1)
        return edited(shorter, -1, ["end"], lambda value: value - 1)
    if op in ("line_of", "lines_of"):
        for number in edit.get("lines", [edit.get("line")]):
            lines[number] = world.bundles[edit["source"]][number]
        return lines
    if op.endswith("_piece"):
        place = next(n for n, line in enumerate(lines) if line.startswith('{"piece"'))
        if op == "flip_piece":
            return edited(lines, place, ["piece"], flip_base64)
        return lines[:place] + lines[place + 1 :] if op == "drop_piece" else [*lines[: place + 1], *lines[place:]]
    if op == "double_key":
        line = lines[edit["line"]]
        lines[edit["line"]] = line[:-2] + "," + line[1 : line.index(",")] + "}\n"
        return lines
    if op == "respell":
        fields = json.loads(lines[edit["line"]])
        data = base64.b64decode(fields["output"]["salt"])
        fields["output"]["salt"] = base64.b64encode(data).decode().rstrip("=")
        return [*lines[: edit["line"]], dumped(fields), *lines[edit["line"] + 1 :]]
    if op == "splice":
        other = world.bundles[edit["source"]]
        return [*lines[:8], *other[8:-1], lines[-1]]
    return _with_proof(world, edit, lines)


def _with_proof(world: World, edit: dict[str, Any], lines: Lines) -> Lines:
    op = edit["op"]
    if op == "proof_of":
        return [world.bundles[edit["into"]][0], world.bundles[edit["source"]][1], *world.bundles[edit["into"]][2:]]
    proof = json.loads(lines[1])["proof"]
    if op == "proof_field":
        source = json.loads(world.bundles[edit["source"]][1])["proof"]
        proof.update({name: source[name] for name in edit["fields"]})
    elif op == "drop_sibling":
        proof["map"]["siblings"].pop()
    elif op == "add_sibling":
        proof["map"]["siblings"].append("11" * 32)
    elif op == "flip_leaf":
        proof["leaf"] = proof["leaf"].replace('"tasks":2', '"tasks":3')
    elif op == "add_consistency":
        proof["since"]["consistency"].append("22" * 32)
    elif op == "since_of":
        proof["since"]["checkpoint"] = world.notes[edit["note"]]
    elif op == "resign":
        note = SignedNote.parse(proof["tlog"].split("\n\n", 1)[1])
        signer = world.stranger.signer(f"tallystick/{world.ledger_id}")
        proof["tlog"] = proof["tlog"].split("\n\n", 1)[0] + "\n\n" + str(sign(note.text, [signer]))
    else:
        proof["tlog"] = _with_tlog(proof["tlog"], edit["what"])
    return [lines[0], dumped({"proof": proof}), *lines[2:]]


def _with_tlog(text: str, what: str) -> str:
    lines = text.split("\n")
    blank = lines.index("")
    if what == "hash":
        lines[2] = flip_base64(lines[2])
    elif what == "index":
        lines[1] = "index 0"
    elif what == "root":
        lines[blank + 3] = flip_base64(lines[blank + 3])
    elif what == "size":
        lines[blank + 2] = "3"
    elif what == "origin":
        lines[blank + 1] = lines[blank + 1][:-1] + "0"
    elif what == "unsigned":
        lines[-2] = lines[-2].replace("tallystick/", "somebody/")
    else:
        start, _, signature = lines[-2].rpartition(" ")
        lines[-2] = f"{start} {flip_text(signature)}"
    return "\n".join(lines)
