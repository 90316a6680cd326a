"""Whose signatures count, and for what: the keys and quorums in the `[keys]` of a plan."""

from __future__ import annotations

from tallystick.errors import CheckFailedError, InputError, TamperedError
from tallystick.model.frozen import Frozen, set_once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

    from tallystick.proof.checkpoint import Checkpoint
    from tallystick.proof.keys import VerifierKey
    from tallystick.proof.note import SignedNote
    from tallystick.stores.base import SessionKey, Store

ROLES = ("attest", "checkpoint", "approve", "witness", "member")
"""What a key or quorum can be trusted for; `member`: for nothing alone, only in a quorum."""
LATER_CHECKPOINTS = 64
"""How many of the newest checkpoints are looked at for one that a trusted key signed."""


class TrustedKey(Frozen):
    """A key that is trusted, and for what. Counts only where it comes from the base."""

    __slots__ = FIELDS = ("name", "public", "roles", "until")

    name: str
    public: str
    """A C2SP vkey: `name+hash+base64`."""
    roles: tuple[str, ...]
    """Of `ROLES`: what its signature alone is enough for."""
    until: int | None
    """The number of the last checkpoint it counts for, of the ledger that its vkey names; None: not retired."""

    def __init__(self, name: str, public: str, roles: tuple[str, ...], until: int | None = None) -> None:
        set_once(self, "name", name)
        set_once(self, "public", public)
        set_once(self, "roles", roles)
        set_once(self, "until", until)

    def as_dict(self) -> dict[str, Any]:
        """The key's table in a plan."""
        fields: dict[str, Any] = {"public": self.public, "roles": list(self.roles)}
        return fields if self.until is None else {**fields, "until": self.until}

    def verifier(self) -> VerifierKey:
        """The key. Raises InputError."""
        from tallystick.proof.keys import VerifierKey

        return VerifierKey.parse(self.public)


class Quorum(Frozen):
    """Keys and quorums that count as one where enough of them signed, as groups of a C2SP tlog-policy do."""

    __slots__ = FIELDS = ("name", "members", "threshold", "roles")

    name: str
    members: tuple[str, ...]
    """Names of keys and quorums that stand before it."""
    threshold: int
    """How many of them must have signed."""
    roles: tuple[str, ...]
    """Of `ROLES`: what they are enough for together."""

    def __init__(self, name: str, members: tuple[str, ...], threshold: int, roles: tuple[str, ...]) -> None:
        set_once(self, "name", name)
        set_once(self, "members", members)
        set_once(self, "threshold", threshold)
        set_once(self, "roles", roles)

    def as_dict(self) -> dict[str, Any]:
        """The quorum's table in a plan."""
        return {"members": list(self.members), "threshold": self.threshold, "roles": list(self.roles)}


class TrustedKeys:
    """All keys and quorums of a plan."""

    def __init__(self, keys: Mapping[str, TrustedKey | Quorum]) -> None:
        self.keys = {name: one for name, one in keys.items() if isinstance(one, TrustedKey)}
        self.quorums = {name: one for name, one in keys.items() if isinstance(one, Quorum)}

    def counting(self, role: str) -> dict[str, TrustedKey]:
        """The keys whose signature counts for something in that role, alone or in a quorum; by name."""
        wanted = {name for name, key in self.keys.items() if role in key.roles}
        for quorum in reversed(self.quorums.values()):
            if role in quorum.roles or quorum.name in wanted:
                wanted.update(quorum.members)
        return {name: key for name, key in self.keys.items() if name in wanted}

    def standing(self, role: str, signed: Iterable[str]) -> set[str]:
        """The keys and quorums with that role that are satisfied where these keys signed: empty for not enough."""
        satisfied = set(signed)
        for quorum in self.quorums.values():
            if sum(member in satisfied for member in quorum.members) >= quorum.threshold:
                satisfied.add(quorum.name)
        return {name for name in satisfied if role in (self.keys.get(name) or self.quorums[name]).roles}

    def check(self, note: SignedNote, checkpoint: Checkpoint, ledger_id: str) -> list[VerifierKey]:
        """The keys that signed a ledger's checkpoint, where those that may are among them.

        Each quorum of witnesses must have cosigned it, too. Raises UnsignedError where nobody signed it who may,
        CheckFailedError where a signature does not hold, or only keys signed it that had retired by then.
        """
        from tallystick.proof.keys import LOG_TYPES, WITNESS_TYPES
        from tallystick.proof.note import UnsignedError
        from tallystick.trust.against import Trusted

        logs = {n: Trusted(key.verifier(), key.until) for n, key in self.counting("checkpoint").items()}
        named = {name: one.under(checkpoint.origin, ledger_id) for name, one in logs.items()}
        named = {name: key for name, key in named.items() if key is not None and key.key_type in LOG_TYPES}
        signed = _signed(note, named)
        current = {name for name in signed if (until := logs[name].until) is None or checkpoint.size <= until}
        if not self.standing("checkpoint", current):
            if signed - current:
                name = min(signed - current)
                raise CheckFailedError(
                    f"checkpoint {checkpoint.size} was signed by keys.{name}, which retired at {logs[name].until}"
                )
            raise UnsignedError(
                f"no key or quorum that the plan on the base trusts signed checkpoint {checkpoint.size}",
                advice="name its key with --key, where you know whose it is",
            )
        witnesses = {name: key.verifier() for name, key in self.counting("witness").items()}
        witnesses = {name: key for name, key in witnesses.items() if key.key_type in WITNESS_TYPES}
        cosigned = self.standing("witness", _signed(note, witnesses))
        for quorum in self.quorums.values():
            if "witness" in quorum.roles and quorum.name not in cosigned:
                raise CheckFailedError(f"the quorum keys.{quorum.name} did not cosign checkpoint {checkpoint.size}")
        return [key for name, key in named.items() if key is not None and name in current]

    def covered(self, store: Store, session: SessionKey, key: TrustedKey) -> int:
        """Up to which position of one of the store's own sessions a key that retired counts; 0 for none of it.

        It is the head that the last checkpoint of the key's range is about, in a log that a trusted key signed which
        did not retire: whoever stole a retired key can sign the numbers of its range again, over another history.
        Whatever time an entry claims does not matter. Raises TamperedError if the session is not the one that the
        checkpoint is about.
        """
        from tallystick.stores.checkpoints import origin_of

        if key.until is None or session.ledger_id != store.ledger_id:
            return 0
        if key.verifier().name != origin_of(store.ledger_id):
            return 0
        size = store.log.size()
        last = min(key.until, size)
        for number in range(size, max(size - LATER_CHECKPOINTS, last, 0), -1) if last else ():
            if self._holds(store, number):
                return self._covered_by(store, session, last, number)
        return 0

    def _holds(self, store: Store, number: int) -> bool:
        """Whether a trusted key that did not retire before it signed the log at that checkpoint."""
        from tallystick.proof.checkpoint import Checkpoint
        from tallystick.proof.merkle import read_root
        from tallystick.proof.note import SignedNote
        from tallystick.stores.checkpoints import LogTree, stored

        try:
            note = SignedNote.parse(stored(store.log, number).note)
            checkpoint = Checkpoint.parse(note.text)
            self.check(note, checkpoint, store.ledger_id)
        except (CheckFailedError, InputError):
            return False
        return (checkpoint.size, checkpoint.root) == (number, read_root(number, LogTree(store.log)))

    def _covered_by(self, store: Store, session: SessionKey, last: int, later: int) -> int:
        """The position that checkpoint `last` is about, as the log has it that checkpoint `later` is about."""
        from tallystick.proof.headmap import map_key
        from tallystick.proof.merkle import inclusion_proof, leaf_hash, read_root, root_from_inclusion
        from tallystick.recorded import StoredTree
        from tallystick.stores.checkpoints import LogTree, stored
        from tallystick.stores.headmaps import prove_head

        tree, checkpoint = LogTree(store.log), stored(store.log, last)
        try:
            path = inclusion_proof(last - 1, later, tree)
            if root_from_inclusion(leaf_hash(checkpoint.leaf), last - 1, later, path) != read_root(later, tree):
                raise CheckFailedError("another leaf")
            head, _ = prove_head(store.log, checkpoint, map_key(session.task_id), newest=False)
            position, root = head or (0, b"")
            if position and read_root(position + 1, StoredTree(store, session)) != root:
                raise CheckFailedError("another root")
        except (CheckFailedError, InputError):
            raise TamperedError(
                f"the history is not the one that checkpoint {last} is about", task_id=session.task_id
            ) from None
        return position


def _signed(note: SignedNote, named: Mapping[str, VerifierKey | None]) -> set[str]:
    """Which of these keys signed the note, by name. Raises CheckFailedError where a signature does not hold."""
    from tallystick.proof.note import UnsignedError

    keys = [key for key in named.values() if key is not None]
    try:
        verified = {one.key for one in note.verify(keys)}
    except UnsignedError:
        return set()
    return {name for name, key in named.items() if key in verified}
