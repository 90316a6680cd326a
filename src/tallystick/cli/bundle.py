"""Bundles on the command line: what export, verify and import do with them."""

from __future__ import annotations

import os

from tallystick.cli.terminal import paint, print_json
from tallystick.errors import CheckFailedError, InputError, NotFoundError
from tallystick.model.text import printable
from tallystick.stores.bundle import is_bundle

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any

    from tallystick.ledger import Ledger
    from tallystick.proof.checkpoint import Checkpoint
    from tallystick.stores.bundle_reader import BundleVerdict


def names_bundle(path: str) -> bool:
    """Whether an argument names a bundle's file. A ledger's own database is never opened to see."""
    if not os.path.isfile(path) or path.endswith(".db") or os.path.exists(f"{path}-lock"):
        return False
    return is_bundle(path)


def bundle_lines(
    ledger: Ledger, options: argparse.Namespace, progress: Callable[[int], None] | None = None
) -> Iterator[bytes]:
    """The bundle that `notch export --format bundle` writes, with what the newest checkpoint proves of the task."""
    from tallystick.exchange.bundle import write_bundle

    since = None
    if options.since:
        from tallystick.cli.files import read_file

        since = read_file(options.since, ledger).decode("utf-8", "replace")
    try:
        proof = ledger.head_proof(options.task)
    except NotFoundError:
        if since is not None:
            raise
        proof = None
    if proof is not None and proof.position is None:
        proof = None
    omit = [part for part in (options.omit or "").split(",") if part]
    return write_bundle(
        ledger, options.task, artifacts=options.artifacts, omit=omit, since=since, proof=proof, progress=progress
    )


def verify_file(path: str, options: argparse.Namespace, trusted: object) -> dict[str, Any]:
    """Verify one bundle without a ledger and without the network; returns what was found, for printing.

    Raises TamperedError, InputError, CheckFailedError.
    """
    from tallystick.stores.bundle_reader import lines_of, verify_bundle

    verdict = verify_bundle(lines_of(path), where=path)
    found: dict[str, Any] = {
        "file": path,
        "task_id": verdict.task_id,
        "ledger_id": verdict.ledger_id,
        "position": verdict.head.position,
        "root": verdict.head.root,
        "erased": verdict.erased,
        "omitted": verdict.omitted,
        "checkpoint": _signed(verdict, trusted, path),
    }
    if options.not_before:
        _require_not_before(verdict, options.not_before, path)
    return found


def _signed(verdict: BundleVerdict, trusted: object, path: str) -> dict[str, Any] | None:
    if verdict.note is None or verdict.leaf is None:
        if trusted is not None:
            raise CheckFailedError("it holds no checkpoint that a key could have signed", where=path)
        return None
    from tallystick.trust.against import read_against

    against = read_against(str(verdict.note).encode(), verdict.ledger_id, trusted)  # type: ignore[arg-type]
    return {
        "number": against.checkpoint.size,
        "origin": against.checkpoint.origin,
        "at": verdict.leaf.at,
        "tasks": verdict.leaf.tasks,
        "covered": verdict.covered,
        "newest": verdict.covered == verdict.head.position,
        "signers": list(against.signers),
        "since": verdict.since.size if verdict.since else None,
    }


def _require_not_before(verdict: BundleVerdict, bound: str, path: str) -> None:
    if verdict.leaf is None or verdict.note is None:
        raise CheckFailedError("it holds no checkpoint, so nobody can say how new it is", where=path)
    from tallystick.proof.checkpoint import Checkpoint
    from tallystick.proof.note import SignedNote

    if os.path.isfile(bound):
        with open(bound, "rb") as file:
            older = Checkpoint.parse(SignedNote.parse(file.read()).text)
        newer = Checkpoint.parse(verdict.note.text)
        _require_extends(newer, older, verdict, path)
        return
    from tallystick.clock import format_time, parse_time

    if verdict.leaf.at < format_time(parse_time(bound)):
        raise CheckFailedError(f"its checkpoint is of {verdict.leaf.at}, before {bound}", where=path)


def _require_extends(newer: Checkpoint, older: Checkpoint, verdict: BundleVerdict, path: str) -> None:
    if newer.origin != older.origin:
        raise CheckFailedError(f"its checkpoint is of {newer.origin}, the older one of {older.origin}", where=path)
    if newer.size < older.size:
        raise CheckFailedError(f"its checkpoint {newer.size} is older than checkpoint {older.size}", where=path)
    if newer.size == older.size:
        if newer.root != older.root:
            raise CheckFailedError(f"two checkpoints {newer.size} contradict each other: a fork", where=path)
        return
    if verdict.since != older:
        raise CheckFailedError(
            f"nothing proves that checkpoint {newer.size} extends checkpoint {older.size}",
            where=path,
            advice="ask for one exported with --since that checkpoint",
        )


def print_verified(found: list[dict[str, Any]], *, as_json: bool) -> None:
    """Say what the bundles show, and as of when."""
    if as_json:
        print_json({"ok": True, "bundles": found})
        return
    for one in found:
        head = f"{one['position']}:{one['root']}"
        gaps = "".join(f", {one[name]} parts {name}" for name in ("erased", "omitted") if one[name])
        print(paint("ok", "pass") + f"  {printable(one['task_id'])}: {one['position']} entries{gaps}, head {head}")
        print(f"    ledger {one['ledger_id']}")
        print(f"    {_as_of(one['checkpoint'])}")


def _as_of(checkpoint: dict[str, Any] | None) -> str:
    if checkpoint is None:
        return "no checkpoint: nothing says that this is all of it, or when it was"
    number, at = checkpoint["number"], checkpoint["at"]
    newest = "the newest state" if checkpoint["newest"] else f"the newest state was entry {checkpoint['covered']}"
    signers = ", ".join(checkpoint["signers"])
    signed = f"signed by {signers}" if signers else "its signature was not checked: name a key with --key"
    since = f", extends checkpoint {checkpoint['since']}" if checkpoint["since"] else ""
    return f"as of checkpoint {number} of {at}: {newest}{since}; {signed}"


def import_bundle(path: str, ledger: Ledger) -> dict[str, Any]:
    """Keep the bundle's session beside ours, read-only, once it verified. Raises what verifying raises."""
    from tallystick.capture.proved import remember_session
    from tallystick.stores.bundle import open_bundle, require_complete

    adopt = getattr(ledger.store, "adopt", None)
    if adopt is None:
        raise InputError("this store does not keep sessions of other ledgers", where=ledger.url)
    store = open_bundle(path)
    require_complete(store)
    key = next(store.sessions())
    fresh = adopt(store, key)
    if (kept := ledger.store.find(key.task_id, key.ledger_id)) is not None:
        remember_session(ledger, kept)
    head = store.verdict.head
    return {
        "file": path,
        "task_id": key.task_id,
        "ledger_id": key.ledger_id,
        "position": head.position,
        "root": head.root,
        "new": fresh,
    }
