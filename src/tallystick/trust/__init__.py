"""Whose word counts: the user's keys, what they signed, and checkpoints of whole ledgers."""

from __future__ import annotations

import os

from tallystick.errors import TallystickError, TamperedError
from tallystick.stores.checkpoints import NoLog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tallystick.ledger import Ledger


def checkpoint_if_key(
    ledger: Ledger,
    *,
    environ: Mapping[str, str] | None = None,
    warn: Callable[[str], object] | None = None,
) -> str | None:
    """The ledger's newest checkpoint, a C2SP note, signed now where anything moved; None where no key is there.

    A ledger that was opened for reading is opened again for writing. Whatever keeps the key from signing is told
    to `warn` and gives None, but for one thing: TamperedError is raised where the ledger does not extend what
    the key signed before.
    """
    environment = os.environ if environ is None else environ
    if not _may_have_key(environment) or isinstance(ledger.store.log, NoLog):
        return None
    try:
        return _checkpoint(ledger, environment)
    except TamperedError:
        raise
    except TallystickError as error:
        if warn is not None:
            warn(f"no checkpoint was made: {error}")
        return None


def _may_have_key(environ: Mapping[str, str]) -> bool:
    """Whether there could be a key, found out without loading what keys need."""
    if environ.get("TALLYSTICK_SIGNING_KEY"):
        return True
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.isdir(os.path.join(config, "tallystick", "keys"))


def _checkpoint(ledger: Ledger, environ: Mapping[str, str]) -> str | None:
    from tallystick.trust.choice import choose_key
    from tallystick.trust.keys import KeyFolder
    from tallystick.trust.memory import Memory
    from tallystick.trust.signer import sign_checkpoint

    key = choose_key(environ, ledger.ledger_id)
    if key is None:
        return None
    memory = Memory(KeyFolder(environ), key, ledger.ledger_id)
    if not ledger.store.read_only:
        made = sign_checkpoint(ledger, key, memory)
    else:
        with ledger.for_writing() as writable:
            made = sign_checkpoint(writable, key, memory)
    return made.note if made else None
