"""copy: a ledger on the move, from one store to another."""

from __future__ import annotations

from tallystick.cli.parser import Command
from tallystick.cli.terminal import Progress, print_json
from tallystick.errors import InputError
from tallystick.ledger import Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.exchange.copying import Copied


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="FROM", help="the ledger to copy: a path, sqlite:///…, postgresql://…")
    parser.add_argument("target", metavar="TO", help="where to: made there, as the same ledger, where there is none")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help="only these; default: all, and the checkpoints")
    parser.add_argument(
        "--beside",
        action="store_true",
        help="into another ledger, which keeps these sessions read-only beside its own",
    )


def _copy(options: argparse.Namespace) -> int:
    if options.ledger is not None:
        raise InputError("FROM and TO name the ledgers", where="--ledger", advice="leave it out")
    progress = Progress("copying")
    with Ledger.open(options.source, create=False, read_only=True) as source:
        _require_there(source, options.tasks)
        with _open_target(options, source) as target:
            from tallystick.exchange.copying import copy

            try:
                done = copy(
                    source.store,
                    target.store,  # type: ignore[arg-type]
                    options.tasks,
                    beside=options.beside,
                    progress=progress.at,
                )
            finally:
                progress.end()
            shown = source.url, target.url
    if options.json:
        fields = {name: getattr(done, name) for name in done.FIELDS}
        print_json({"from": shown[0], "to": shown[1], **fields, "beside": options.beside})
    else:
        _say(done, shown[1], options)
    return 0


def _open_target(options: argparse.Namespace, source: Ledger) -> Ledger:
    """The target; made with the source's id where it is not there. Raises InputError for one that takes nothing."""
    ledger_id = bytes.fromhex(source.ledger_id)
    target = Ledger.open(options.target, create=not options.beside, random=lambda _: ledger_id)
    if not hasattr(target.store, "take"):
        target.close()
        raise InputError("nothing can be copied into a bundle", where=options.target, advice="notch export writes one")
    return target


def _require_there(source: Ledger, tasks: list[str]) -> None:
    """Raises NotFoundError for a task that the source has not, InputError for a bundle that parts were left out of."""
    from tallystick.stores.bundle import BundleStore, require_complete

    if isinstance(source.store, BundleStore):
        require_complete(source.store)
    for task_id in tasks:
        if not source.sessions_of(task_id):
            source.head(task_id)


def _say(done: Copied, where: str, options: argparse.Namespace) -> None:
    place = where.removeprefix("sqlite:///")
    entries = f"{done.entries:,} {'entry' if done.entries == 1 else 'entries'}"
    sessions = f"{done.moved} of {done.sessions} {'session' if done.sessions == 1 else 'sessions'}"
    checkpoints = f", {done.checkpoints} checkpoint{'' if done.checkpoints == 1 else 's'}" if done.checkpoints else ""
    if options.beside:
        print(f"copied {entries} in {sessions} into ledger {done.ledger_id} at {place}, read-only beside its own")
        return
    if not done.moved and not done.checkpoints:
        print(f"nothing to copy: ledger {done.ledger_id} at {place} has all of it")
        return
    print(f"copied {entries} in {sessions}{checkpoints}; ledger {done.ledger_id} is at {place}")
    if not options.tasks:
        print("go on in one place only: two copies that both go on are two histories, and no copy joins them")


COMMANDS = {
    "copy": Command(
        _arguments,
        _copy,
        "  notch copy .tallystick/ledger.db postgresql://db.example/evidence\n"
        "  notch copy postgresql://db.example/evidence ledger.db add-cache",
    )
}
