"""key, checkpoint: the user's keys, and signing the whole ledger."""

from __future__ import annotations

import os
import sys

from tallystick.cli.against import GIT, keys_of_base, read_against
from tallystick.cli.context import require_own_place
from tallystick.cli.judging import base_rules, require_reviewed, reviewed_base
from tallystick.cli.parser import Command
from tallystick.cli.terminal import json_text, print_json, table
from tallystick.errors import InputError, StoreUnavailableError, TamperedError
from tallystick.ledger import Ledger
from tallystick.model.text import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.proof.checkpoint import Checkpoint
    from tallystick.trust.keys import Key
    from tallystick.trust.memory import Memory
    from tallystick.trust.signer import Made


def _key_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("new", "show", "list", "retire"), help="what to do")
    parser.add_argument("name", nargs="?", metavar="NAME", help="what you call the key")
    parser.add_argument(
        "--agent",
        nargs="?",
        const="",
        metavar="WHICH",
        help="new: use a key that the ssh-agent holds, by its comment or fingerprint",
    )
    parser.add_argument(
        "--type",
        choices=("ed25519", "ml-dsa-44"),
        metavar="TYPE",
        help="new: ed25519 (the default) or ml-dsa-44, which quantum computers cannot forge; it signs checkpoints only",
    )
    parser.add_argument(
        "--at", type=int, metavar="NUMBER", help="retire: the last checkpoint it counts for (default: the newest)"
    )


def _key(options: argparse.Namespace) -> int:
    for option, action in (("agent", "new"), ("type", "new"), ("at", "retire")):
        if getattr(options, option) is not None and options.action != action:
            raise InputError(f"--{option} belongs to notch key {action}")
    return {"new": _new_key, "show": _show_key, "list": _list_keys, "retire": _retire_key}[options.action](options)


def _new_key(options: argparse.Namespace) -> int:
    from tallystick.trust.keys import DEFAULT_NAME, KEY_TYPES, KeyFolder

    folder, name, kind = KeyFolder(os.environ), options.name or DEFAULT_NAME, options.type or "ed25519"
    if options.agent is None:
        key = folder.new(name, KEY_TYPES[kind])
    elif kind != "ed25519":
        raise InputError("an ssh-agent holds no keys of that type", advice="leave out --agent or --type")
    else:
        key = folder.from_agent(name, options.agent)
    if options.json:
        print_json(_described(key))
    else:
        held = "the ssh-agent holds it" if key.place == "ssh-agent" else "readable by you alone"
        print(f"{name}  {key.fingerprint}  in {folder.path} ({held})")
        print("notch key show prints its public half for a ledger: that is what others pin")
    return 0


def _show_key(options: argparse.Namespace) -> int:
    from tallystick.stores.checkpoints import origin_of

    with Ledger.open(options.ledger, create=False, read_only=True) as ledger:
        key = required_key(options.name, ledger)
        vkey = str(key.verifier(origin_of(ledger.ledger_id)))
    if options.json:
        print_json({**_described(key), "vkey": vkey})
    else:
        print(vkey)
    return 0


def _list_keys(options: argparse.Namespace) -> int:
    from tallystick.trust.keys import VARIABLE, KeyFolder, given_key

    folder = KeyFolder(os.environ)
    keys = [folder.load(name) for name in folder.names()]
    if (given := given_key(os.environ)) is not None:
        keys.append(given)
    if options.json:
        print_json([_described(key) for key in keys])
        return 0
    if not keys:
        print("no key yet: notch key new")
    table(("key", "private half", "fingerprint"), [(k.name or f"${VARIABLE}", k.place, k.fingerprint) for k in keys])
    return 0


def _retire_key(options: argparse.Namespace) -> int:
    from tallystick.stores.checkpoints import origin_of
    from tallystick.trust.keys import KeyFolder
    from tallystick.trust.memory import Memory

    if not options.name:
        raise InputError("which key is to retire?", advice="notch key list shows them")
    folder = KeyFolder(os.environ)
    with Ledger.open(options.ledger, create=False, read_only=True) as ledger:
        key, newest = folder.load(options.name), ledger.store.log.size()
        number = newest if options.at is None else options.at
        if not 0 <= number <= MOST_CHECKPOINTS:
            raise InputError("--at is the number of a checkpoint; 0 for none")
        with Memory(folder, key, ledger.ledger_id) as memory:
            memory.retire(number)
        line = f"{key.verifier(origin_of(ledger.ledger_id))} until {number}"
    if options.json:
        print_json({**_described(key), "until": number, "line": line})
    else:
        print(f"{key.name} signs nothing of this ledger after checkpoint {number}; who pins it pins this:")
        print(line)
    return 0


def _described(key: Key) -> dict[str, object]:
    return {"name": key.name, "place": key.place, "fingerprint": key.fingerprint}


def required_key(named: str | None, ledger: Ledger) -> Key:
    """The key to sign with. Raises InputError where there is none, or several and none is named."""
    from tallystick.trust.choice import choose_key

    key = choose_key(os.environ, ledger.ledger_id, named)
    if key is None:
        raise InputError("there is no key to sign with", advice="notch key new makes one")
    return key


def _checkpoint_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", metavar="git|FILE|-", default="-", help="where the note goes: a git note, a file, standard output"
    )
    parser.add_argument("--key", metavar="NAME", help="the key to sign with, where there are several")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="git|FILE|-",
        help="a checkpoint that you vouch for: this ledger must extend it (repeatable: each of them)",
    )
    parser.add_argument(
        "--trust-note",
        action="store_true",
        help="--against git: also if nobody whom the plan on the base trusts signed the note",
    )
    parser.add_argument(
        "--new-epoch",
        action="store_true",
        help="begin anew, under another origin that cites the last known checkpoint (after a restore)",
    )
    parser.add_argument(
        "--every",
        type=_interval,
        metavar="TIME",
        help="go on and sign what moved every so often (10s, 5m, 1h), beside any number of others who do",
    )


def _interval(text: str) -> float:
    import argparse

    try:
        seconds = {"s": 1, "m": 60, "h": 3600}.get(text[-1:], 0) * float(text[:-1])
    except ValueError:
        seconds = 0
    if not 0.1 <= seconds <= 86_400:
        raise argparse.ArgumentTypeError(f"{text!r} is no time from 0.1s to 24h, such as 10s, 5m, 1h")
    return seconds


MOST_CHECKPOINTS = 2**53 - 1
"""The largest number of a checkpoint that a plan can name."""


def _checkpoint(options: argparse.Namespace) -> int:
    from tallystick.cli.context import settle_erasures
    from tallystick.stores.checkpoints import NoLog
    from tallystick.trust.keys import KeyFolder
    from tallystick.trust.memory import Memory
    from tallystick.trust.signer import sign_checkpoint

    require_own_place(options)
    require_reviewed(reviewed_base(options))
    with Ledger.open(options.ledger, create=False) as ledger:
        settle_erasures(ledger)
        if isinstance(ledger.store.log, NoLog):
            raise StoreUnavailableError("a bundle is never written to", where=ledger.url, advice="name a ledger")
        key = required_key(options.key, ledger)
        memory = Memory(KeyFolder(os.environ), key, ledger.ledger_id)
        given = _vouched_for(options, ledger, key, memory)
        if options.every is not None:
            return _sequence(options, ledger, key, memory, given)
        made = sign_checkpoint(ledger, key, memory, against=given, new_epoch=options.new_epoch)
    if made is None:
        _say("nothing is recorded yet, so there is nothing to sign")
        if options.json:
            print_json(None)
        return 0
    if not made.signed:
        _say(f"nothing moved since checkpoint {made.number}")
    _deliver(options, made.note)
    if options.json:
        print_json({"number": made.number, "signed": made.signed, "note": made.note})
    elif options.to in ("-", GIT):
        sys.stdout.write(made.note)
    return 0


def _vouched_for(options: argparse.Namespace, ledger: Ledger, key: Key, memory: Memory) -> Checkpoint | None:
    """The newest of the checkpoints that the ledger must extend; None if none is named, or it is the first of all.

    Raises TamperedError if the ledger does not extend one of them, or if the notes end before one that was kept.
    """
    from tallystick.exchange.git_notes import REF
    from tallystick.stores.checkpoints import epoch_of
    from tallystick.trust.signer import require_extends

    kept = [read_against(one, ledger).checkpoint for one in options.against if one != GIT]
    noted = _vouched_for_by_notes(options, ledger, key) if GIT in options.against else None
    given = [*kept, noted] if noted is not None else kept
    ranked = {(epoch_of(one.origin, ledger.ledger_id), one.size): one for one in given}
    newest = ranked[max(ranked)] if ranked else None
    if GIT in options.against and newest is not None and newest != noted:
        ends = f"end with checkpoint {noted.size}" if noted is not None else "hold none"
        raise TamperedError(
            f"the notes {ends}, and checkpoint {newest.size} was kept: they were rolled back, or never fetched",
            where=REF,
            advice=f"git fetch origin {REF}:{REF}, without + and --force",
        )
    require_extends(ledger, given)
    if GIT in options.against and not kept and memory.last() is None and memory.pending() is None:
        _say(
            "the key has no memory here, and only the notes say what it signed: whoever can roll back both them and the"
            " ledger has it sign a number twice; name the checkpoint of the last run too: --against FILE"
        )
    return newest


def _vouched_for_by_notes(options: argparse.Namespace, ledger: Ledger, key: Key) -> Checkpoint | None:
    """The newest checkpoint in the git notes that somebody signed who is trusted; None for a ledger without any.

    Whoever can push can put one there.
    """
    from tallystick.exchange.git_notes import REF, notes_by_age
    from tallystick.stores.checkpoints import origin_of
    from tallystick.trust.against import AnyOf, Trusted
    from tallystick.workspace import Workspace

    if not ledger.store.log.size() and not notes_by_age(Workspace.find(os.getcwd()), ledger.ledger_id):
        return None
    own = [Trusted(key.verifier(origin_of(ledger.ledger_id)))]
    base = keys_of_base(base_rules(options))
    if base is not None:
        return read_against(GIT, ledger, AnyOf(own, base)).checkpoint
    found = read_against(GIT, ledger, own, needed=False)
    if not found.signers and not options.trust_note:
        raise InputError(
            f"another key signed checkpoint {found.checkpoint.size} in the notes, and no [keys] on the base trust it",
            where=REF,
            advice="name its key in [keys] of the plan on the base, or vouch for the note yourself: --trust-note",
        )
    return found.checkpoint


def _sequence(options: argparse.Namespace, ledger: Ledger, key: Key, memory: Memory, given: Checkpoint | None) -> int:
    """Sign what moved, again and again, until a signal ends it."""
    import signal

    from tallystick.trust.sequencer import Sequencer

    if options.new_epoch or options.to not in ("-", GIT):
        raise InputError("--every goes on for ever: it takes --to git or standard output, and no --new-epoch")
    ended: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _: ended.append(received))

    def deliver(made: Made) -> None:
        _deliver(options, made.note)
        if options.json:
            print(json_text({"number": made.number, "note": made.note}), flush=True)
        else:
            print(made.note, flush=True)

    Sequencer(ledger, key, memory, options.every).run(deliver, against=given, complain=_say, stop=lambda: bool(ended))
    return 0


def _deliver(options: argparse.Namespace, note: str) -> None:
    if options.to == GIT:
        from tallystick.exchange.git_notes import write_note
        from tallystick.workspace import Workspace

        _say(write_note(Workspace.find(os.getcwd()), note))
    elif options.to != "-":
        from tallystick.cli.files import write_output
        from tallystick.files import PUBLIC

        write_output(options.to, [note.encode()], options, mode=PUBLIC)


def _say(word: str) -> None:
    """Tell the user apart from what is printed for programs and files."""
    print(f"notch: {printable(word)}", file=sys.stderr)


COMMANDS = {
    "key": Command(
        _key_arguments,
        _key,
        "  notch key new\n  notch key new ci --agent\n  notch key new pq --type ml-dsa-44\n"
        "  notch key show      (its public half, for others to pin)\n"
        "  notch key retire ci",
    ),
    "checkpoint": Command(
        _checkpoint_arguments,
        _checkpoint,
        "  notch checkpoint\n  notch checkpoint --to git\n  notch checkpoint --every 10s\n"
        "  notch checkpoint --against git      (with a key that CI gives, which has no memory)",
    ),
}
