"""copy: a ledger on the move, from one store to another."""

from __future__ import annotations

from tallystick.cli.parser import Command
from tallystick.cli.terminal import Progress, print_json
from tallystick.errors import InputError
from tallystick.ledger import Ledger

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

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
    parser.add_argument(
        "--move", action="store_true", help="and have FROM, a file, take nothing more: it says where the ledger went"
    )


def _copy(options: argparse.Namespace) -> int:
    if options.ledger is not None:
        raise InputError("FROM and TO name the ledgers", where="--ledger", advice="leave it out")
    if options.move and (options.tasks or options.beside):
        raise InputError("a ledger moves as a whole, to where it goes on", where="--move", advice="leave out the rest")
    progress = Progress("copying")
    with Ledger.open(options.source, create=False, read_only=True) as source:
        _require_there(source, options)
        with _open_target(options, source) as target:
            try:
                done = _do(source, target, options, progress.at)
            finally:
                progress.end()
            shown = source.url, target.url
    if options.json:
        fields = {name: getattr(done, name) for name in done.FIELDS}
        print_json({"from": shown[0], "to": shown[1], **fields, "beside": options.beside, "closed": options.move})
    else:
        _say(done, shown[1], options)
    return 0


def _do(source: Ledger, target: Ledger, options: argparse.Namespace, progress: Callable[[int, int], None]) -> Copied:
    from tallystick.exchange.copying import Copied, copy

    def one() -> Copied:
        return copy(
            source.store,
            target.store,  # type: ignore[arg-type]
            options.tasks,
            beside=options.beside,
            progress=progress,
        )

    first = one()
    if not options.move:
        return first
    with Ledger.open(options.source, create=False) as closing:
        closing.store.close_for(target.url)  # type: ignore[attr-defined]
    # What was appended while the rest was copied. Nothing comes after that.
    last = one()
    return Copied(
        last.ledger_id,
        last.sessions,
        max(first.moved, last.moved),
        first.entries + last.entries,
        first.checkpoints + last.checkpoints,
    )


def _open_target(options: argparse.Namespace, source: Ledger) -> Ledger:
    """The target; made with the source's id where it is not there. Raises InputError for one that takes nothing."""
    ledger_id = bytes.fromhex(source.ledger_id)
    target = Ledger.open(options.target, create=not options.beside, random=lambda _: ledger_id)
    if not hasattr(target.store, "take"):
        target.close()
        raise InputError("nothing can be copied into a bundle", where=options.target, advice="notch export writes one")
    return target


def _require_there(source: Ledger, options: argparse.Namespace) -> None:
    """Raises NotFoundError for a task that the source has not, InputError where it cannot give what is asked of it.

    From a bundle parts may have been left out, and what takes nothing more has to be a file.
    """
    from tallystick.stores.bundle import BundleStore, require_complete

    if options.move and not hasattr(source.store, "close_for"):
        raise InputError(
            "only a ledger in a file can be closed so", where=source.url, advice="take the writers' roles away instead"
        )
    if isinstance(source.store, BundleStore):
        require_complete(source.store)
    for task_id in options.tasks:
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
    if done.moved or done.checkpoints:
        print(f"copied {entries} in {sessions}{checkpoints}; ledger {done.ledger_id} is at {place}")
    else:
        print(f"nothing to copy: ledger {done.ledger_id} at {place} has all of it")
    if options.move:
        print(f"{options.source} takes nothing more; name the ledger where it is: TALLYSTICK_LEDGER={where}")
    elif done.moved and not options.tasks:
        print("go on in one place only: two copies that both go on are two histories, and no copy joins them")


COMMANDS = {
    "copy": Command(
        _arguments,
        _copy,
        "  notch copy --move .tallystick/ledger.db postgresql://db.example/evidence\n"
        "  notch copy postgresql://db.example/evidence ledger.db add-cache",
    )
}
