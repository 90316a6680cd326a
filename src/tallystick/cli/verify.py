"""verify: recomputing the history."""

from __future__ import annotations

import os
import shlex
import stat
import sys

from tallystick.cli.context import ledger_file, open_ledger, told_unfinished
from tallystick.cli.parser import Command, Once
from tallystick.cli.terminal import Progress, paint, print_json
from tallystick.errors import InputError, NotFoundError, StoreUnavailableError, TamperedError
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from tallystick.ledger import Ledger
    from tallystick.trust.against import Against
    from tallystick.verification import Fault, Verified


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "tasks", nargs="*", metavar="TASK", help="or bundle files; default: all tasks, and the store itself"
    )
    parser.add_argument(
        "--head", action=Once, metavar="POSITION:ROOT", help="a head seen earlier, which the task's history must extend"
    )
    from tallystick.cli.against import add_against

    add_against(parser, "a checkpoint seen earlier, which the whole ledger must extend")
    parser.add_argument("--key", action="append", default=[], metavar="VKEY", help="a key that may have signed it")
    parser.add_argument(
        "--trusted-keys",
        action=Once,
        metavar="FILE",
        help="check scafld's signed receipts in imported sessions with these keys",
    )
    parser.add_argument(
        "--not-before",
        action=Once,
        metavar="TIME|FILE",
        help="a bundle must be as of this time or checkpoint, or later",
    )
    parser.add_argument("--keys", action=Once, metavar="FILE", help="such keys, a line each, or a C2SP tlog-policy")
    parser.add_argument(
        "--require-signature", action="store_true", help="fail if no key is given to check a bundle's signature with"
    )


def _verify(options: argparse.Namespace) -> int:
    from tallystick.cli.bundle import names_bundle

    try:
        return _verify_named(options)
    except NotFoundError as error:
        for name in options.tasks:
            if os.path.isfile(name) and not names_bundle(name):
                raise InputError("this file is no bundle, and no task is named so", where=name) from None
            if _looks_like_a_file(name) and not os.path.exists(name):
                and_no_task = f", and {error.what}" if error.where in options.tasks else ""
                raise NotFoundError(f"no such file{and_no_task}", where=name) from None
        raise


def _looks_like_a_file(name: str) -> bool:
    return os.sep in name or name.endswith(".bundle")


def _verify_named(options: argparse.Namespace) -> int:
    if options.head and len(options.tasks) != 1:
        raise InputError("--head belongs to one task", advice="name the task")
    from tallystick.cli.bundle import names_bundle

    if options.tasks and all(names_bundle(name) for name in options.tasks):
        return _verify_bundles(options)
    for option in ("not_before", "require_signature"):
        if getattr(options, option):
            raise InputError(f"--{option.replace('_', '-')} is about bundles", advice="name a bundle's file")
    if (options.key or options.keys) and not options.against:
        raise InputError("--key and --keys say whose checkpoint counts", advice="name one with --against")
    from tallystick.stores.checkpoints import NoLog
    from tallystick.verification import Fault

    if options.trusted_keys:
        from tallystick.cli.receipts import verify_receipts

        with open_ledger(options) as ledger:
            return verify_receipts(ledger, options)
    sessions: list[Verified] = []
    faults: list[Fault] = []
    progress = Progress("verifying")
    with open_ledger(options, settle=False) as ledger:
        if options.against and isinstance(ledger.store.log, NoLog):
            raise InputError(
                "a bundle keeps no log of checkpoints", where=ledger.url, advice=_NOT_OF_BUNDLES["against"]
            )
        against = _read_against(options, ledger) if options.against else None
        unfinished, readable = _unfinished(ledger), _readable_by_others(ledger)
        for found in _inspect(ledger, options, progress, against):
            if isinstance(found, Fault):
                faults.append(found)
            else:
                sessions.append(found)
    progress.end()
    if options.json:
        left = [{"task_id": task_id, "position": position} for task_id, position in unfinished]
        document = _json(sessions, faults) | ({"unfinished_erasures": left} if left else {})
        print_json(document | ({"against": _against_json(against)} if against else {}))
    else:
        _print(sessions, faults)
        if unfinished:
            print(f"UNFINISHED  {told_unfinished(unfinished)}")
        if against is not None and not faults:
            _print_against(against)
    if readable:
        print(f"notch: {readable}", file=sys.stderr)
    if faults or any(one.faults for one in sessions):
        return TamperedError.exit_code
    return StoreUnavailableError.exit_code if any(one.closed for one in sessions) else 0


def _unfinished(ledger: Ledger) -> list[tuple[str, int]]:
    try:
        return ledger.unfinished_erasures()
    except TamperedError:  # the damage is told with the rest
        return []


def _readable_by_others(ledger: Ledger) -> str:
    """A word of advice if other users of the machine may read the ledger's file; empty otherwise."""
    path = ledger_file(ledger)
    mode = stat.S_IMODE(os.stat(path).st_mode) if path else 0
    if not mode & (stat.S_IRGRP | stat.S_IROTH):
        return ""
    return (
        f"others can read this ledger, and the output of commands that is in it (its mode is {mode:o});"
        f" chmod 600 {shlex.quote(path)}, unless it is shared on purpose"
    )


_NOT_OF_BUNDLES = {
    "against": "hold a bundle to a checkpoint with --not-before FILE",
    "head": "hold its task to a head with notch --ledger FILE verify TASK --head …",
    "trusted_keys": "read the bundle as a ledger: notch --ledger FILE verify --trusted-keys …",
}
"""What would say nothing of a bundle's file, and what to do instead."""


def _verify_bundles(options: argparse.Namespace) -> int:
    from tallystick.cli.against import read_trusted
    from tallystick.cli.bundle import print_verified, verify_file

    for option, advice in _NOT_OF_BUNDLES.items():
        if getattr(options, option):
            raise InputError(f"--{option.replace('_', '-')} is about ledgers, not bundles", advice=advice)
    trusted = read_trusted(options)
    if options.require_signature and trusted is None:
        raise InputError("--require-signature needs a key to check the signature with", advice="name one with --key")
    print_verified([verify_file(path, options, trusted) for path in options.tasks], as_json=options.json)
    return 0


def _inspect(
    ledger: Ledger, options: argparse.Namespace, progress: Progress, against: Against | None
) -> Iterator[Verified | Fault]:
    tasks = list(options.tasks)
    if against is not None:
        from tallystick.trust.against import faults_against

        for fault in faults_against(ledger, against.checkpoint, tasks):
            yield fault
            tasks = [task_id for task_id in tasks if task_id != fault.task_id]
    if not options.tasks:
        yield from ledger.inspect(progress=progress.advance)
    for task_id in tasks:
        yield from ledger.inspect(task_id, head=options.head, progress=progress.advance)


def _read_against(options: argparse.Namespace, ledger: Ledger) -> Against:
    from tallystick.cli.against import keys_of_base, read_against, read_trusted
    from tallystick.cli.judging import base_rules

    return read_against(options.against, ledger, read_trusted(options) or keys_of_base(base_rules()))


def _against_json(against: Against) -> dict[str, object]:
    checkpoint = against.checkpoint
    return {"origin": checkpoint.origin, "number": checkpoint.size, "signed_by": list(against.signers)}


def _print_against(against: Against) -> None:
    by = "whose signature was not checked: no --key, and no [keys] on the base"
    if against.signers:
        by = f"signed by {', '.join(against.signers)}"
    print(paint("ok", "pass") + f"  the ledger extends checkpoint {against.checkpoint.size}, {by}")


def _json(sessions: list[Verified], faults: list[Fault]) -> dict[str, object]:
    def shown(fault: Fault) -> dict[str, object]:
        return {"task_id": fault.task_id, "position": fault.position, "what": fault.what}

    return {
        "ok": not faults and not any(one.faults or one.closed for one in sessions),
        "faults": [shown(fault) for fault in faults],
        "sessions": [
            {
                "task_id": one.task_id,
                "ledger_id": one.ledger_id,
                "position": one.head.position,
                "root": one.head.root,
                "erased": one.erased,
                "closed": one.closed,
                "faults": [shown(fault) for fault in one.faults],
            }
            for one in sessions
        ],
    }


SHOWN_FAULTS = 10


def _print(sessions: list[Verified], faults: list[Fault]) -> None:
    for fault in faults:
        print(paint("TAMPERED", "fail") + f"  the store: {printable(str(fault))}")
    for one in sessions:
        name = printable(one.task_id)
        if one.faults:
            print(paint("TAMPERED", "fail") + f"  {name}: {len(one.faults)} of its parts are not as recorded")
            for fault in one.faults[:SHOWN_FAULTS]:
                where = "" if fault.position is None else f"position {fault.position}: "
                print(f"  {where}{printable(fault.what)}")
            if len(one.faults) > SHOWN_FAULTS:
                print(f"  … and {len(one.faults) - SHOWN_FAULTS} more")
        elif one.closed:
            print(f"CLOSED    {name}: written to by a later version; upgrade tallystick")
        else:
            erased = f", {one.erased} parts erased" if one.erased else ""
            entries = "entry" if one.head.position == 1 else "entries"
            print(paint("ok", "pass") + f"  {name}: {one.head.position} {entries}{erased}, head {one.head}")
    if not sessions and not faults:
        print("ok  no task yet")


COMMANDS = {
    "verify": Command(
        _arguments,
        _verify,
        "  notch verify\n  notch verify add-cache --head 17:9f2c…   (a head that a CI log kept)\n"
        "  notch verify --against checkpoint.txt --key tallystick/…",
    ),
}
