"""What a result is a result of, as one digest: the command, its inputs and the declared environment.

Under that digest a store remembers where passing results stand, so that nothing which is proved already is run again;
under another one what may speak against them, so that nothing is taken for proved which failed elsewhere.
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


def proof_digest(command: str, inputs: str, environment: Mapping[str, Any], *, against: bool = False) -> bytes:
    """SHA-256 of the compact JSON of the three; empty where they do not tell what was shown.

    `against`: the digest under which results are kept that may speak against it, so that no number of passes hides one.
    """
    if not command or inputs in ("", NO_INPUTS):
        return b""
    named = [command, inputs, dict(environment), *(["against"] if against else [])]
    return sha256(compact(checked(named, "environment"))).digest()


def digest_of(entry: Entry, *, against: bool = False) -> bytes:
    """The digest of a criterion's run, as `notch` records it; empty for any other entry.

    It is that of a pass, unless its inputs were written while it ran. `against`: that of what may speak against one: a
    failure, and a pass that did not end with exit code 0, since another plan may expect that.
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
    if any(run.get(name) for name in ("cwd", "moved", "cut_short", "falsifies", "reproduces")):
        return b""
    shows = entry.status == "pass" and not run.get("touched")
    objects = entry.status == "fail" or run.get("exit_code") != 0
    if not (objects if against else shows):
        return b""
    return proof_digest(entry.command, inputs, environment, against=against)


def digests_of(entry: Entry) -> list[bytes]:
    """Every digest under which the entry is remembered; see `digest_of`."""
    found = (digest_of(entry, against=against) for against in (False, True))
    return [digest for digest in found if digest]


def remember_proof(ledger: Ledger, task_id: str, position: int, entry: Entry) -> None:
    """Have the store remember where the result stands, if it is a criterion's run.

    The entry is recorded already: a store that cannot keep more of it is no error.
    """
    digests = digests_of(entry)
    key = ledger.store.find(task_id) if digests else None
    if key is None:
        return
    try:
        ledger.store.remember_proofs([(digest, key, position) for digest in digests])
    except StoreUnavailableError:
        return


def remember_all(ledger: Ledger) -> int:
    """Make the store's index anew from every session it holds; returns how many results it remembers."""
    return sum(remember_session(ledger, key) for key in ledger.store.sessions())


def remember_session(ledger: Ledger, key: SessionKey) -> int:
    """Have the store remember all results of one session; returns under how many digests."""
    entries = ledger.entries(key.task_id, outputs=False, ledger_id=key.ledger_id)
    found = [(digest, key, one.position) for one in entries for digest in digests_of(one.entry)]
    if found:
        ledger.store.remember_proofs(found)
    return len(found)
