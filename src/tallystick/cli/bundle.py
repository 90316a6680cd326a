"""Bundles on the command line: what export, verify and import do with them."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from itertools import chain

from tallystick.cli.terminal import paint, print_json
from tallystick.errors import CheckFailedError, InputError, NotFoundError, TallystickError
from tallystick.model.text import printable
from tallystick.stores.bundle import is_bundle

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import Any

    from tallystick.ledger import Ledger
    from tallystick.proof.checkpoint import Checkpoint
    from tallystick.proof.head_proof import HeadProof
    from tallystick.stores.bundle import BundleStore
    from tallystick.stores.bundle_reader import BundleVerdict


def names_bundle(path: str) -> bool:
    """Whether an argument names a bundle's file. A ledger's own database is never opened to see."""
    if not os.path.isfile(path) or path.endswith(".db") or os.path.exists(f"{path}-lock"):
        return False
    return is_bundle(path)


def bundle_lines(
    ledger: Ledger, options: argparse.Namespace, progress: Callable[[int], None] | None = None
) -> Iterator[bytes]:
    """The bundle that `notch export --format bundle` writes, with what the newest checkpoint proves of the task.

    Raises InputError, NotFoundError, CheckFailedError where the ledger does not extend `--since`.
    """
    from tallystick.exchange.bundle import write_absence, write_bundle

    since = None
    if options.since:
        from tallystick.cli.files import read_file

        since = read_file(options.since, ledger).decode("utf-8", "replace")
    proof = _newest_proof(ledger, options, needed=options.absent or since is not None)
    omit = [part for part in (options.omit or "").split(",") if part]
    if options.absent:
        assert proof is not None, "it was needed"
        lines = write_absence(ledger, proof, since=since)
    else:
        if proof is not None and proof.position is None:
            proof = None
        lines = write_bundle(
            ledger, options.task, artifacts=options.artifacts, omit=omit, since=since, proof=proof, progress=progress
        )
    with naming(options.since or ""):
        first = next(lines)
    if not options.absent:
        _warn_of_uncovered(ledger, options.task, proof)
    return chain((first,), lines)


def _newest_proof(ledger: Ledger, options: argparse.Namespace, *, needed: bool) -> HeadProof | None:
    """What the newest checkpoint says of the task; None where there is no checkpoint and none is needed."""
    try:
        proof = ledger.head_proof(options.task)
    except NotFoundError:
        if needed:
            raise
        return None
    if needed and proof.position is None and not options.absent:
        raise InputError(
            f"checkpoint {proof.number} is about no session of it, so nothing can be proved since an older one",
            where=options.task,
            advice="notch checkpoint, then export it",
        )
    return proof


def _warn_of_uncovered(ledger: Ledger, task_id: str, proof: HeadProof | None) -> None:
    if proof is None or proof.position is None:
        what = "no checkpoint is about it, so nobody who has a key can verify the bundle"
    elif (last := ledger.head(task_id).position) > proof.position:
        what = (
            f"{_entries(proof.position + 1, last)} came after checkpoint {proof.number}, which proves nothing of that"
        )
    else:
        return
    print(f"notch: {printable(task_id)}: {what}: notch checkpoint, then export it", file=sys.stderr)


def _entries(first: int, last: int) -> str:
    return f"entry {last}" if first == last else f"entries {first} to {last}"


@contextmanager
def naming(path: str) -> Iterator[None]:
    """Errors from within that name no place name this file."""
    try:
        yield
    except TallystickError as error:
        error.where = error.where or path
        raise


def verify_file(path: str, options: argparse.Namespace, trusted: object) -> dict[str, Any]:
    """Verify one bundle without a ledger and without the network; returns what was found, for printing.

    Raises TamperedError, InputError, CheckFailedError. With keys given, all of it has to be what they signed.
    """
    from tallystick.stores.bundle_stream import verify_bundle_file

    with naming(path):
        verdict = verify_bundle_file(path)
        found: dict[str, Any] = {
            "file": path,
            "task_id": verdict.task_id,
            "ledger_id": verdict.ledger_id,
            "position": verdict.head.position if verdict.head else None,
            "root": verdict.head.root if verdict.head else None,
            "erased": verdict.erased,
            "omitted": verdict.omitted,
            "checkpoint": None,
        }
        kept = _kept(options.not_before)
        found["checkpoint"] = _signed(verdict, trusted, path, kept)
        if options.not_before:
            _require_not_before(verdict, options.not_before, kept, path)
    return found


def _kept(bound: str | None) -> Checkpoint | None:
    """The checkpoint in the file that `--not-before` names; None where that is a time. Raises InputError."""
    if not bound or not os.path.exists(bound):
        return None
    from tallystick.cli.files import read_file
    from tallystick.proof.checkpoint import Checkpoint
    from tallystick.proof.note import SignedNote

    with naming(bound):
        return Checkpoint.parse(SignedNote.parse(read_file(bound)).text)


def _signed(verdict: BundleVerdict, trusted: object, path: str, kept: Checkpoint | None) -> dict[str, Any] | None:
    if verdict.note is None or verdict.leaf is None:
        if trusted is not None:
            raise CheckFailedError("it holds no checkpoint that a key could have signed", where=path)
        return None
    from tallystick.trust.against import read_against

    against = read_against(str(verdict.note).encode(), verdict.ledger_id, trusted)  # type: ignore[arg-type]
    last = verdict.head.position if verdict.head else 0
    if trusted is not None and last > verdict.covered:
        raise CheckFailedError(
            f"{_entries(verdict.covered + 1, last)} came after checkpoint {against.checkpoint.size}: no signature"
            " covers that, so anybody could have added it",
            where=path,
            advice="ask for a bundle that was exported after a newer checkpoint",
        )
    return {
        "number": against.checkpoint.size,
        "origin": against.checkpoint.origin,
        "at": verdict.leaf.at,
        "tasks": verdict.leaf.tasks,
        "covered": verdict.covered,
        "newest": verdict.covered == last,
        "signers": list(against.signers),
        "since": _older(verdict, trusted, kept),
    }


def _older(verdict: BundleVerdict, trusted: object, kept: Checkpoint | None) -> int | None:
    """The number of the older checkpoint, which must be signed as the newer one is, or be the one that was kept.

    Raises UnsignedError, CheckFailedError.
    """
    if verdict.since is None:
        return None
    from tallystick.proof.note import UnsignedError
    from tallystick.trust.against import read_against

    data = str(verdict.since).encode()
    older = read_against(data, verdict.ledger_id).checkpoint
    try:
        read_against(data, verdict.ledger_id, trusted)  # type: ignore[arg-type]
    except UnsignedError:
        if older != kept:
            raise UnsignedError(f"none of the keys given signed the older checkpoint {older.size}") from None
    return older.size


def _require_not_before(verdict: BundleVerdict, bound: str, kept: Checkpoint | None, path: str) -> None:
    if verdict.leaf is None or verdict.note is None:
        raise CheckFailedError("it holds no checkpoint, so nobody can say how new it is", where=path)
    if kept is not None:
        from tallystick.proof.checkpoint import Checkpoint

        _require_extends(Checkpoint.parse(verdict.note.text), kept, verdict, path)
        return
    from tallystick.clock import format_time, parse_time

    if verdict.leaf.at < format_time(parse_time(bound)):
        raise CheckFailedError(f"its checkpoint is of {verdict.leaf.at}, before {bound}", where=path)


def _require_extends(newer: Checkpoint, older: Checkpoint, verdict: BundleVerdict, path: str) -> None:
    from tallystick.proof.checkpoint import Checkpoint
    from tallystick.stores.checkpoints import epoch_of

    if not 0 < epoch_of(older.origin, verdict.ledger_id) <= epoch_of(newer.origin, verdict.ledger_id):
        raise CheckFailedError(f"its checkpoint is of {newer.origin}, the older one of {older.origin}", where=path)
    if older.extensions:
        raise CheckFailedError("the older checkpoint has lines behind its root, and those of ledgers have none")
    if newer.size < older.size:
        raise CheckFailedError(f"its checkpoint {newer.size} is older than checkpoint {older.size}", where=path)
    if newer.size == older.size:
        if newer.root != older.root:
            raise CheckFailedError(f"two checkpoints {newer.size} contradict each other: a fork", where=path)
        return
    since = Checkpoint.parse(verdict.since.text) if verdict.since else None
    if since is None or (since.size, since.root) != (older.size, older.root):
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
        gaps = "".join(f", {one[name]} parts {name}" for name in ("erased", "omitted") if one[name])
        shows = "nothing is recorded of it"
        if one["position"] is not None:
            entries = "entry" if one["position"] == 1 else "entries"
            shows = f"{one['position']} {entries}{gaps}, head {one['position']}:{one['root']}"
        print(paint("ok", "pass") + f"  {printable(one['task_id'])}: {shows}")
        print(f"    ledger {one['ledger_id']}")
        print(f"    {_as_of(one['checkpoint'], one['position'])}")


def _as_of(checkpoint: dict[str, Any] | None, last: int | None) -> str:
    if checkpoint is None:
        return "no checkpoint: nothing says that this is all of it, or when it was"
    number, at, covered = checkpoint["number"], checkpoint["at"], checkpoint["covered"]
    shows = "the newest state"
    if last is not None and not checkpoint["newest"]:
        shows = f"the newest state was entry {covered}, and nothing proves {_entries(covered + 1, last)}"
    signers = ", ".join(checkpoint["signers"])
    signed = f"signed by {signers}" if signers else "its signature was not checked: name a key with --key"
    since = f", extends checkpoint {checkpoint['since']}" if checkpoint["since"] else ""
    return f"as of checkpoint {number} of {at}: {shows}{since}; {signed}"


def open_for_import(path: str) -> BundleStore:
    """The bundle, verified whole. Raises what verifying raises, InputError where parts were left out of it."""
    from tallystick.stores.bundle import open_bundle, require_complete

    with naming(path):
        store = open_bundle(path)
    require_complete(store)
    return store


def import_bundle(store: BundleStore, ledger: Ledger) -> dict[str, Any]:
    """Keep the bundle's session beside ours, read-only. Raises InputError where it is a fork of what is kept."""
    from tallystick.capture.proved import remember_session

    adopt = getattr(ledger.store, "adopt", None)
    if adopt is None:
        raise InputError("this store does not keep sessions of other ledgers", where=ledger.url)
    key = next(store.sessions())
    fresh = adopt(store, key)
    if (kept := ledger.store.find(key.task_id, key.ledger_id)) is not None:
        remember_session(ledger, kept)
    return {
        "file": store.url,
        "task_id": key.task_id,
        "ledger_id": key.ledger_id,
        "position": store.head.position,
        "root": store.head.root,
        "new": fresh,
    }
