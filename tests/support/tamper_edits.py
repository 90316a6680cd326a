"""What can be done to a bundle: each manipulation of the tamper corpus takes the honest one and returns another."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

from support.tamper_world import Lines, World
from tallystick.proof.note import SignedNote, sign


def manipulated(world: World, edit: dict[str, Any]) -> Lines:
    """The lines of the bundle after the manipulation that `edit` names."""
    lines = list(world.bundles[edit.get("base", "t")])
    op, number, path = edit["op"], edit.get("line", 0), edit.get("path", [])
    simple: dict[str, Callable[[], Lines]] = {
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
        proof["leaf"] = proof["leaf"].replace('"tasks":3', '"tasks":2')
    elif op == "add_consistency":
        proof["since"]["consistency"].append("22" * 32)
    elif op == "since_of":
        proof["since"]["checkpoint"] = world.notes[edit["note"]]
    elif op == "resign":
        note = SignedNote.parse(proof["tlog"].split("\n\n", 1)[1])
        signer = world.stranger.signer(f"tallystick/{world.ledger_id}")
        proof["tlog"] = proof["tlog"].split("\n\n", 1)[0] + "\n\n" + str(sign(note.text, [signer]))
    elif op != "flip_tlog":
        from support.tamper_forgery import forged

        return forged(world, edit, lines)
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
        lines[blank + 1] = flip_hex(lines[blank + 1])
    elif what == "unsigned":
        lines[-2] = lines[-2].replace("tallystick/", "somebody/")
    else:
        start, _, signature = lines[-2].rpartition(" ")
        lines[-2] = f"{start} {flip_text(signature)}"
    return "\n".join(lines)


# --- values


def edited(lines: Lines, number: int, path: Iterable[Any], change: Callable[[Any], Any]) -> Lines:
    """The lines with the value at a path in one of them changed."""
    fields = json.loads(lines[number])
    *outer, last = path
    place = fields
    for step in outer:
        place = place[step]
    place[last] = change(place[last])
    return [*lines[: number % len(lines)], dumped(fields), *lines[number % len(lines) + 1 :]]


def dumped(fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) + "\n"


def flip_base64(text: str) -> str:
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return base64.b64encode(bytes(data)).decode()


def flip_hex(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def flip_text(text: str) -> str:
    place = len(text) // 2
    return text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
