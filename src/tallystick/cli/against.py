"""The options that name a checkpoint somebody kept, and whose signature on it counts."""

from __future__ import annotations

import os

from tallystick.cli.parser import Once
from tallystick.errors import CheckFailedError, InputError, TallystickError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

    from tallystick.gate.base import BaseRules
    from tallystick.gate.trusted import TrustedKeys
    from tallystick.ledger import Ledger
    from tallystick.trust.against import Against, Trusted

GIT = "git"


def add_against(parser: argparse.ArgumentParser, what: str) -> None:
    """The option that names a checkpoint somebody kept."""
    parser.add_argument("--against", action=Once, metavar="git|FILE|-", help=what)


def read_against(value: str, ledger: Ledger, trusted: object = None, *, needed: bool = True) -> Against:
    """The checkpoint that the option names: in a file, from standard input, or the newest one in git notes.

    Of the notes it is the newest that `trusted` accepts; with `needed` false the newest of all where none is. Raises
    InputError, CheckFailedError where none of the trusted keys signed it.
    """
    from tallystick.trust.against import read_against as read

    if value != GIT:
        from tallystick.cli.bundle import naming

        with naming("" if value == "-" else value):
            return read(_given(value, ledger), ledger.ledger_id, trusted)  # type: ignore[arg-type]
    from tallystick.exchange.git_notes import REF, notes_by_age
    from tallystick.workspace import Workspace

    refused: TallystickError | None = None
    notes = notes_by_age(Workspace.find(os.getcwd()), ledger.ledger_id)
    for data in notes:
        try:
            return read(data, ledger.ledger_id, trusted)  # type: ignore[arg-type]
        except (InputError, CheckFailedError) as error:
            refused = refused or error
    if refused is None:
        fetch = f"git fetch origin '+{REF}:refs/notes/remotes/origin/tallystick'"
        raise InputError("no note holds a checkpoint of this ledger", where=REF, advice=fetch)
    if needed:
        raise refused
    return read(notes[0], ledger.ledger_id)


def _given(value: str, ledger: Ledger) -> bytes:
    if value == "-":
        from tallystick.cli.context import read_argument

        return read_argument("-", "the checkpoint")
    from tallystick.cli.files import read_file

    return read_file(value, ledger)


def keys_of_base(rules: BaseRules) -> TrustedKeys | None:
    """Who may sign checkpoints by the `[keys]` of the plan on the base; None if that names nobody.

    Raises PlanError for a plan that cannot be read, GitError, InputError if it is CI and the base is not known.
    """
    from tallystick.gate.base import base_of
    from tallystick.gate.trusted import TrustedKeys
    from tallystick.workspace import Workspace

    plan = base_of(Workspace.find(os.getcwd()), rules).plan
    keys = TrustedKeys(plan.keys) if plan is not None else None
    return keys if keys is not None and keys.counting("checkpoint") else None


def read_trusted(options: argparse.Namespace) -> object:
    """The keys that `--key` and `--keys` name; None where neither is given. Raises InputError."""
    from tallystick.cli.files import read_file
    from tallystick.trust import against

    trusted: list[Trusted] = [against.Trusted.parse(vkey) for vkey in options.key]
    if not options.keys:
        return trusted or None
    try:
        found = against.read_trusted(read_file(options.keys))
    except InputError as error:
        where = error.where if error.where.startswith(options.keys) else f"{options.keys}: {error.where}".rstrip(": ")
        raise InputError(error.what, where=where, advice=error.advice) from None
    if isinstance(found, list):
        return trusted + found
    if trusted and found.logs:
        raise InputError(
            "--key cannot be given beside a policy that names logs", where=options.keys, advice="add it to the file"
        )
    return against.Witnessed(trusted, found) if trusted else found
