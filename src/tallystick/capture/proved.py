"""What a result is a result of, as one digest: the command, its inputs and the declared environment.

Under that digest a store remembers where such results stand, passes and failures: nothing which is proved already is
run again, and nothing is taken for proved which failed elsewhere.
"""

from __future__ import annotations

from hashlib import sha256

from tallystick.errors import StoreUnavailableError
from tallystick.model.jsontext import checked, compact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from tallystick.ledger import Ledger
    from tallystick.model.entry import Entry
    from tallystick.stores.base import SessionKey

NO_INPUTS = sha256(b"").hexdigest()
"""The inputs digest where no file matches: what depends on nothing that is known is never taken for the same."""


def proof_digest(command: str, inputs: str, environment: Mapping[str, Any]) -> bytes:
    """SHA-256 of the compact JSON of the three; empty where they do not tell what was shown."""
    if not command or inputs in ("", NO_INPUTS):
        return b""
    return sha256(compact(checked([command, inputs, dict(environment)], "environment"))).digest()


def digest_of(entry: Entry) -> bytes:
    """The digest of a criterion's run that passed or failed, as `notch` records it; empty for any other entry.

    Not of one whose inputs moved, or were written while it ran, or that was run for it to fail.
    """
    run, content = (entry.details.get(name) for name in ("run", "content"))
    if (
        entry.type != "criterion"
        or entry.status not in ("pass", "fail")
        or not isinstance(run, dict)
        or not isinstance(content, dict)
    ):
        return b""
    inputs, environment = content.get("inputs"), run.get("environment", {})
    if not isinstance(inputs, str) or not isinstance(environment, dict) or not run.get("started"):
        return b""
    if any(run.get(name) for name in ("cwd", "moved", "touched", "cut_short", "falsifies", "reproduces")):
        return b""
    return proof_digest(entry.command, inputs, environment)


def remember_proof(ledger: Ledger, task_id: str, position: int, entry: Entry) -> None:
    """Have the store remember where the result stands, if it is a criterion's run.

    The entry is recorded already: a store that cannot keep more of it is no error.
    """
    digest = digest_of(entry)
    key = ledger.store.find(task_id) if digest else None
    if key is None:
        return
    try:
        ledger.store.remember_proofs([(digest, key, position)])
    except StoreUnavailableError:
        return


def remember_all(ledger: Ledger) -> int:
    """Make the store's index anew from every session it holds; returns how many results it remembers."""
    return sum(remember_session(ledger, key) for key in ledger.store.sessions())


def remember_session(ledger: Ledger, key: SessionKey) -> int:
    """Have the store remember all results of one session; returns how many there are."""
    entries = ledger.entries(key.task_id, outputs=False, ledger_id=key.ledger_id)
    found = [(digest, key, one.position) for one in entries if (digest := digest_of(one.entry))]
    if found:
        ledger.store.remember_proofs(found)
    return len(found)
