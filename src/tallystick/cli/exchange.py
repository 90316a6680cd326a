"""import, export, backup: evidence on the move."""

from __future__ import annotations

import sys

from tallystick.cli.context import open_ledger, settle_erasures
from tallystick.cli.files import read_file, write_output
from tallystick.cli.parser import Command
from tallystick.cli.terminal import Progress, print_json
from tallystick.errors import InputError
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from tallystick.ledger import Ledger
    from tallystick.model import Session
    from tallystick.stores.base import Head

FORMATS = ("json", "jsonl", "scafld", "bundle")


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help="- reads standard input")
    parser.add_argument(
        "--format",
        metavar="F",
        help="scafld, bundle, junit, tap, ctrf, go or sarif; default: what the file looks like",
    )
    parser.add_argument("--dialect", choices=("2.3", "2.5"), help="of a scafld session; default: what it looks like")
    parser.add_argument("-t", "--task", metavar="TASK", help="into this task instead of the one that the file names")
    report = parser.add_argument_group("of the reports of one run (junit, tap, ctrf, go, sarif)")
    report.add_argument("-c", "--criterion", default="", metavar="ID", help="the criterion that they show")
    report.add_argument("--command", metavar="CMD", help="what was run; default: what the plan says for the criterion")


def _import(options: argparse.Namespace) -> int:
    from tallystick.cli.bundle import names_bundle

    if all(options.format == "bundle" or names_bundle(path) for path in options.files):
        return _import_bundles(options)
    done: list[tuple[str, Session, Head]] = []
    with open_ledger(options, write=True) as ledger:
        files = _read_files(options, ledger)
        if all(name != "scafld" for _, _, name in files):
            from tallystick.cli.report import import_reports

            return import_reports(files, ledger, options)
        _require_alone(options)
        sessions = [_read_session(path, data, name, options) for path, data, name in files]
        for path, session in zip(options.files, sessions, strict=True):
            done.append((path, session, _record(ledger, session)))
    if options.json:
        print_json(
            [
                {"file": path, "task_id": session.task_id, "position": head.position, "root": head.root}
                for path, session, head in done
            ]
        )
    else:
        for path, session, head in done:
            print(f"{path}: {len(session.entries)} entries of {session.task_id}, head {head}")
    return 0


def _import_bundles(options: argparse.Namespace) -> int:
    from tallystick.cli.bundle import import_bundle, open_for_import

    _require_alone(options)
    stores = [open_for_import(path) for path in options.files]
    with open_ledger(options, write=True) as ledger:
        kept = [import_bundle(store, ledger) for store in stores]
        settle_erasures(ledger)  # of parts that were kept before, and that a longer history says were erased
        return _say_kept(kept, options)


def _say_kept(kept: list[dict[str, object]], options: argparse.Namespace) -> int:
    if options.json:
        print_json(kept)
        return 0
    for one in kept:
        print(
            f"{one['file']}: {one['new']} new entries of {printable(str(one['task_id']))}, kept beside ours as a"
            f" session of ledger {one['ledger_id']}, head {one['position']}:{one['root']}"
        )
    return 0


def _require_alone(options: argparse.Namespace) -> None:
    """Raises InputError for what only reports take, and for one task into which several files should go."""
    if options.criterion or options.command is not None:
        raise InputError("-c and --command go with reports", where="import")
    if options.task and len(options.files) > 1:
        raise InputError("-t goes with one file")


def _read_files(options: argparse.Namespace, ledger: Ledger) -> list[tuple[str, bytes, str]]:
    """Path, bytes and format of every file. Raises InputError for a format that cannot be imported."""
    from tallystick.exchange.formats import FORMATS as READ
    from tallystick.exchange.formats import detect_format

    if options.format and options.format not in READ:
        advice = f"formats: {', '.join(('bundle', *READ))}"
        raise InputError(f"{options.format} files cannot be imported", where=options.files[0], advice=advice)
    found = []
    for path in options.files:
        data = sys.stdin.buffer.read() if path == "-" else read_file(path, ledger)
        found.append((path, data, options.format or detect_format(data, path)))
    return found


def _read_session(path: str, data: bytes, name: str, options: argparse.Namespace) -> Session:
    from tallystick.exchange import scafld

    if name != "scafld":
        raise InputError("a report and a session are not imported at once", where=path, advice="import them apart")
    reading = scafld.read_session(data, dialect=options.dialect, where=path)
    if reading.dropped:
        names = ", ".join(f"{name} ({count})" for name, count in reading.dropped.items())
        print(f"notch: {printable(path)}: not kept, since the format has no such fields: {names}", file=sys.stderr)
    session = reading.session.replace(task_id=options.task) if options.task else reading.session
    return scafld.require_importable(session, where=path)


def _record(ledger: Ledger, session: Session) -> Head:
    from tallystick.exchange.scafld import comparable

    return ledger.import_session(session, comparable=comparable)


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("task", metavar="TASK", help="the task")
    parser.add_argument("--format", choices=FORMATS, default="json", help="default: json")
    parser.add_argument("--dialect", choices=("2.3", "2.5"), help="of a scafld session; default: as it came in")
    parser.add_argument("-o", "--to", metavar="FILE", help="write it there instead of standard output")
    bundle = parser.add_argument_group("of a bundle")
    bundle.add_argument("--artifacts", action="store_true", help="take outputs over 64 KiB along")
    bundle.add_argument("--omit", metavar="PART,…", help="leave parts out: text, details, output")
    bundle.add_argument("--since", metavar="FILE", help="prove that an older checkpoint is extended")
    bundle.add_argument(
        "--absent", action="store_true", help="show that, as of the newest checkpoint, nothing is recorded of the task"
    )


def _export(options: argparse.Namespace) -> int:
    if options.format != "bundle":
        for option in ("artifacts", "omit", "since", "absent"):
            if getattr(options, option):
                raise InputError(f"--{option} belongs to a bundle", where="export", advice="add --format bundle")
    with open_ledger(options) as ledger:
        pieces = _pieces(ledger, options)
        if options.to and options.to != "-":
            write_output(options.to, pieces, options)
            return 0
        sys.stdout.flush()
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    return 0


def _pieces(ledger: Ledger, options: argparse.Namespace) -> Iterable[bytes]:
    if options.format == "bundle":
        from tallystick.cli.bundle import bundle_lines

        return bundle_lines(ledger, options)
    if options.format == "scafld":
        from tallystick.exchange import scafld

        session = ledger.session(options.task)
        own = sum(1 for entry in session.entries if set(entry.details) - {"scafld"})
        if own:
            print(f"notch: the format has no details: those of {own} entries are left out", file=sys.stderr)
        return [scafld.dumps(session, dialect=options.dialect)]
    from tallystick.exchange import json_export

    head = ledger.head(options.task)
    entries = ledger.entries(options.task, 1, head.position)
    if options.format == "jsonl":
        return json_export.to_jsonl(entries)
    return json_export.to_json(entries)


def _backup_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a new file")


def _backup(options: argparse.Namespace) -> int:
    progress = Progress("copying")
    with open_ledger(options, judge=True) as ledger:
        copy = getattr(ledger.store, "backup", None)
        if copy is None:
            raise InputError("this store is not one file", where=ledger.url, advice="use the database's own backup")
        copy(options.file, progress.at)
    progress.end()
    if options.json:
        print_json({"file": options.file, "ledger_id": ledger.ledger_id})
    else:
        print(f"copied the ledger to {options.file}")
    return 0


COMMANDS = {
    "import": Command(
        _import_arguments,
        _import,
        "  notch import .scafld/runs/add-cache/session.json\n  notch import -c tests target/surefire-reports/*.xml",
    ),
    "export": Command(_export_arguments, _export, "  notch export add-cache --format scafld > session.json"),
    "backup": Command(_backup_arguments, _backup, "  notch backup ledger-2026-11-24.db"),
}
