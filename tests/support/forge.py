"""Bundles made from nothing by somebody who has the key: what is changed in them is signed again, down to the note.

So a verifier has only the format to refuse them by, and two verifiers have nothing but the format to agree on.
"""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from typing import Any

from tallystick.proof.headmap import leaf_hash as map_leaf
from tallystick.proof.headmap import map_key
from tallystick.proof.keys import ED25519, SigningKey
from tallystick.proof.merkle import Edge, leaf_hash
from tallystick.proof.note import sign

LEDGER = "0123456789abcdef" * 2
TASK = "add-cache"
AT = "2026-11-24T10:35:05.{:06}Z"
ORIGIN = f"tallystick/{LEDGER}"
KEY = SigningKey(ORIGIN, ED25519, b"\7" * 32)
SALT = bytes(range(16))


def compact(fields: Any) -> str:
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))


def raw(text: str) -> bytes:
    """The text in UTF-8, lone surrogates as JSON escapes them."""
    return text.encode("utf-8", "backslashreplace")


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def digest(data: bytes) -> str:
    return sha256(SALT + data).hexdigest()


def part(data: bytes) -> dict[str, str]:
    return {"salt": encoded(SALT), "data": encoded(data)}


class Forge:
    """A bundle in parts: change any of them, then take the `lines`, all of which fit together."""

    def __init__(self) -> None:
        self.ledger, self.task_id, self.key = LEDGER, TASK, KEY
        self.origin = ORIGIN
        self.header = compact(
            {"v": 1, "kind": "session", "at": AT.format(0), "ledger": LEDGER, "task_id": TASK}
            | {"created_at": AT.format(0), "rules": 1}
        )
        self.records = [self.entry(n) for n in range(1, 5)]
        self.parts: list[dict[str, Any]] = [{"text": part(f'{{"reason":"r{n}"}}'.encode())} for n in range(1, 5)]
        self.records[2] = self.entry(3, exit_code=-7, output=digest(b"printed"), output_size=7)
        self.parts[2]["output"] = part(b"printed")
        self.parts[0] = {"text": "erased"}
        self.records[3] = self.entry(4, type="redaction", erases=[1, ["text"]])
        self.leaf_tail = ""
        self.leaf_at = AT.format(9)
        self.tasks = "1"
        self.leaf: str | None = None
        self.size: int | None = None
        self.covered: int | None = None
        self.has_proof = True
        self.note_text: str | None = None
        self.signature_lines: list[str] = []
        self.extensions: list[str] = []

    def entry(self, number: int, **changed: Any) -> str:
        """The record of an entry, its fields in their order."""
        fields = {
            "v": 1, "kind": "entry", "at": AT.format(number), "id": f"entry-{number}", "type": "criterion",
            "recorded_at": AT.format(number), "criterion_id": "ac1", "status": "pass", "exit_code": 0, "erases": None,
            "text": digest(f'{{"reason":"r{number}"}}'.encode()), "output": "", "output_size": 0,
        } | changed  # fmt: skip
        return compact({name: value for name, value in fields.items() if value not in ("", 0, None)})

    def edge(self, position: int | None = None) -> Edge:
        """The right edge of the session's tree at a position."""
        edge = Edge()
        for text in [self.header, *self.records][: None if position is None else position + 1]:
            edge.append(leaf_hash(_bytes(text)))
        return edge

    def note(self, text: str) -> str:
        """The note, signed by the ledger's key under the origin in it, with further lines behind that."""
        origin = text.split("\n", 1)[0]
        name = ORIGIN if {"+", " "} & {*origin} else origin
        return str(sign(text, [self.key.named(name).signer()])) + "".join(f"{line}\n" for line in self.signature_lines)

    def proof(self) -> dict[str, Any]:
        """The bundle's second line."""
        position = len(self.records) if self.covered is None else self.covered
        root = self.edge(position).root()
        heads = map_leaf(map_key(self.task_id), position, root).hex()
        leaf = self.leaf
        if leaf is None:
            leaf = f'{{"v":1,"kind":"checkpoint","at":"{self.leaf_at}","tasks":{self.tasks},'
            leaf += f'"heads":"{heads}"{self.leaf_tail}}}'
        older = leaf_hash(b"an older leaf")
        log = Edge()
        log.append(older)
        log.append(leaf_hash(_bytes(leaf)))
        size = 2 if self.size is None else self.size
        lines = [self.origin, str(size), encoded(log.root()), *self.extensions]
        text = "".join(f"{line}\n" for line in lines) if self.note_text is None else self.note_text
        tlog = f"c2sp.org/tlog-proof@v1\nindex {size - 1}\n{encoded(older)}\n\n{self.note(text)}"
        about = {"position": position, "root": root.hex()}
        return {"proof": {**about, "leaf": leaf, "map": {"siblings": []}, "tlog": tlog}}

    def lines(self) -> list[str]:
        """The bundle's lines."""
        last = len(self.records)
        first = {"bundle": 1, "ledger": self.ledger, "task_id": self.task_id, "position": last}
        found: list[Any] = [first | {"root": self.edge().root().hex()}]
        if self.has_proof:
            found.append(self.proof())
        found.append({"session": encoded(_bytes(self.header))})
        for text, parts in zip(self.records, self.parts, strict=True):
            found.append({"record": encoded(_bytes(text)), **parts})
        return [compact(line) for line in [*found, {"end": last}]]

    def bundle(self) -> bytes:
        """The bundle."""
        return raw("".join(f"{line}\n" for line in self.lines()))

    def absence(self, task_id: str = "never", *, first: dict[str, Any] | None = None, other: Any = None) -> bytes:
        """A bundle which shows that a checkpoint over `TASK` alone is about no session of another task."""
        position, root = len(self.records), self.edge().root()
        line = self.proof()["proof"]
        held = {"key": map_key(TASK).hex(), "position": position, "root": root.hex()}
        proof = {
            "absent": True,
            "leaf": line["leaf"],
            "map": {"siblings": [], "other": other or held},
            "tlog": line["tlog"],
        }
        begins = first or {"bundle": 1, "ledger": self.ledger, "task_id": task_id, "absent": True}
        return raw("".join(f"{compact(one)}\n" for one in (begins, {"proof": proof}, {"end": 0})))


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else raw(text)
