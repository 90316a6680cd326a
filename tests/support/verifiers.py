"""Both verifiers, asked the same: the Python one here, the JavaScript one in a process that answers line by line."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from argparse import Namespace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tallystick import TallystickError
from tallystick.cli.against import read_trusted
from tallystick.cli.bundle import verify_file
from tallystick.model.text import printable
from tallystick.proof.keys import VerifierKey
from tallystick.proof.note import SignedNote
from tallystick.trust.against import read_against

NODE = shutil.which("node")
VERIFIER = Path(__file__).parents[2] / "tools/notch-verify.mjs"

Case = dict[str, Any]
"""`what` (bundle, checkpoint, note) and `data`; `keys`, `keyFile`, `notBefore` as the JavaScript verifier has them."""
Verdict = tuple[int, Any]
"""The exit code, and what was found or said."""

_DRIVER = """
import { createInterface } from "node:readline";
const { BundleError, verifyBundle, verifyCheckpoint, verifyNote } = await import(process.argv[1]);
const bytes = (text) => new Uint8Array(Buffer.from(text, "base64"));
for await (const line of createInterface({ input: process.stdin })) {
  const { what, data, ledger, keys, keyFile, notBefore } = JSON.parse(line);
  const options = { keys: keys ?? [], notBefore: notBefore ?? "" };
  if (keyFile !== undefined) options.keyFile = bytes(keyFile);
  let answer;
  try {
    if (what === "note") answer = [0, await verifyNote(bytes(data), options.keys)];
    else if (what === "checkpoint") answer = [0, await verifyCheckpoint(bytes(data), ledger, options)];
    else answer = [0, await verifyBundle(bytes(data), options)];
  } catch (error) {
    answer = [error instanceof BundleError ? error.code : -1, error.message];
  }
  console.log(JSON.stringify(answer));
}
"""


class JavaScript:
    """A node process that verifies one case after another."""

    def __init__(self, node: str | None = NODE) -> None:
        assert node is not None
        argv = [node, "--no-warnings", "--input-type=module", "-e", _DRIVER, VERIFIER.as_uri()]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def verdict(self, case: Case) -> Verdict:
        """What the JavaScript verifier says. -1 is an error that is none of its own."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        sent = {name: _encoded(value) if isinstance(value, bytes) else value for name, value in case.items()}
        process.stdin.write(json.dumps(sent).encode() + b"\n")
        process.stdin.flush()
        code, found = json.loads(process.stdout.readline())
        return code, found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def python_verdict(case: Case, folder: Path) -> Verdict:
    """What the Python verifier says. Anything but one of the package's own errors is raised."""
    try:
        trusted = _trusted(case, folder)
        if case["what"] == "note":
            note = SignedNote.parse(case["data"])
            keys = [VerifierKey.parse(vkey) for vkey in case["keys"]]
            verified = {one.key for one in note.verify(keys)}
            return 0, [f"{key.name}+{key.key_id.hex()}" for key in keys if key in verified]
        if case["what"] == "checkpoint":
            against = read_against(case["data"], case["ledger"], trusted)
            checkpoint = against.checkpoint
            fields = {"origin": checkpoint.origin, "number": checkpoint.size, "root": checkpoint.root.hex()}
            return 0, fields | {"signers": list(against.signers)}
        path, bound = folder / "case.bundle", case.get("notBefore", "")
        path.write_bytes(case["data"])
        if "\n" in bound:
            (folder / "kept").write_text(bound, encoding="utf-8")
            bound = str(folder / "kept")
        found = verify_file(str(path), Namespace(not_before=bound), trusted)
        if found["checkpoint"] is not None:
            del found["checkpoint"]["origin"]
        return 0, {name: value for name, value in found.items() if name != "file"}
    except TallystickError as error:
        return error.exit_code, printable(str(error))


def _trusted(case: Case, folder: Path) -> Any:
    """Whom the case trusts, as the command reads `--key` and `--keys`."""
    if case["what"] == "note":
        return None
    path = folder / "keys"
    if "keyFile" in case:
        path.write_bytes(case["keyFile"])
    return read_trusted(Namespace(key=case.get("keys", []), keys=str(path) if "keyFile" in case else None))
