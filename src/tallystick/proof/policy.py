"""Whose signatures make a checkpoint count: the trust policy of c2sp.org/tlog-policy.

A policy names logs, witnesses, groups of them and a quorum. Names are octet strings, as the format has them.
"""

from __future__ import annotations

from tallystick.errors import InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.encoding import quoted
from tallystick.proof.keys import ED25519, LOG_TYPES, WITNESS_TYPES, VerifierKey
from tallystick.proof.note import UnsignedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tallystick.proof.note import SignedNote

MAX_POLICY_SIZE = 1 << 20
NO_QUORUM = b"none"

_ALLOWED = bytes((0x09, 0x0A, *range(0x20, 0x7F), *range(0x80, 0x100)))


class Log(Frozen):
    """A log that is trusted."""

    __slots__ = FIELDS = ("key", "url")

    key: VerifierKey
    """Its key; the name of it is the log's origin."""
    url: bytes
    """Where it is, or empty."""

    def __init__(self, key: VerifierKey, url: bytes = b"") -> None:
        if key.key_type not in LOG_TYPES:
            raise InputError(f"the key of log {quoted(key.name)} is a witness's: type 0x{key.key_type:02x}")
        set_once(self, "key", key)
        set_once(self, "url", url)


class Witness(Frozen):
    """A cosigner that is trusted."""

    __slots__ = FIELDS = ("name", "key", "url")

    name: bytes
    """What the policy calls it."""
    key: VerifierKey
    """Its key, with the name it signs under."""
    url: bytes
    """Where it is, or empty."""

    def __init__(self, name: bytes, key: VerifierKey, url: bytes = b"") -> None:
        if key.key_type not in WITNESS_TYPES:
            raise InputError(
                f"the key of witness {_shown(name)} is a log's: type 0x{key.key_type:02x}",
                advice="the key of an Ed25519 cosigner has type 0x04",
            )
        set_once(self, "name", name)
        set_once(self, "key", key)
        set_once(self, "url", url)


class Group(Frozen):
    """Witnesses and groups that count as one where enough of them cosigned."""

    __slots__ = FIELDS = ("name", "threshold", "members")

    name: bytes
    """What the policy calls it."""
    threshold: int
    """How many members must have cosigned."""
    members: tuple[bytes, ...]
    """Names of witnesses or groups."""

    def __init__(self, name: bytes, threshold: int, members: tuple[bytes, ...]) -> None:
        if not 1 <= threshold <= len(members):
            raise InputError(f"group {_shown(name)} cannot need {threshold} of {len(members)} members")
        set_once(self, "name", name)
        set_once(self, "threshold", threshold)
        set_once(self, "members", members)


class Endorsed(Frozen):
    """A checkpoint that a policy accepts."""

    __slots__ = FIELDS = ("checkpoint", "logs", "cosigned")

    checkpoint: Checkpoint
    """What was signed: without the extension lines where no log signature covers them."""
    logs: tuple[VerifierKey, ...]
    """The keys of the log that signed it."""
    cosigned: dict[bytes, int]
    """Who cosigned it, by the names of the policy, and when: POSIX seconds, 0 where no time is stated."""

    def __init__(self, checkpoint: Checkpoint, logs: tuple[VerifierKey, ...], cosigned: dict[bytes, int]) -> None:
        set_once(self, "checkpoint", checkpoint)
        set_once(self, "logs", logs)
        set_once(self, "cosigned", cosigned)


class Policy:
    """Trusted logs, witnesses and groups in the order of their definition, and the name that must cosign.

    Raises InputError where keys or names stand twice, or a name is used that is not defined before.
    """

    __slots__ = ("groups", "logs", "quorum", "witnesses")

    def __init__(
        self,
        logs: Iterable[Log] = (),
        witnesses: Iterable[Witness] = (),
        groups: Iterable[Group] = (),
        quorum: bytes = NO_QUORUM,
    ) -> None:
        self.logs: dict[bytes, Log] = {}
        self.witnesses: dict[bytes, Witness] = {}
        self.groups: dict[bytes, Group] = {}
        self.quorum = quorum
        builder = _Builder(self)
        for log in logs:
            builder.add_log(log)
        for witness in witnesses:
            builder.add_witness(witness)
        for group in groups:
            builder.add_group(group)
        builder.set_quorum(quorum)

    @classmethod
    def parse(cls, data: bytes | str) -> Policy:
        """The policy in a policy file. Raises InputError, naming the line."""
        data = _octets(data)
        if len(data) > MAX_POLICY_SIZE:
            raise InputError(f"the policy is {len(data)} bytes long; at most {MAX_POLICY_SIZE} are read")
        if data.translate(None, _ALLOWED):
            raise InputError("the policy contains a control character")
        policy = cls()
        builder = _Builder(policy)
        for number, line in enumerate(data.split(b"\n"), 1):
            items = line.split()
            if not items or items[0].startswith(b"#"):
                continue
            try:
                builder.read(items)
            except InputError as error:
                raise InputError(error.what, where=f"line {number} of the policy", advice=error.advice) from None
        builder.finish()
        return policy

    def check(self, note: SignedNote) -> Endorsed:
        """The checkpoint in `note`, where a log of the policy signed it and its quorum cosigned it.

        Raises InputError where the note holds no checkpoint or the policy no log, UnsignedError where too few signed
        it, CheckFailedError where a signature does not hold.
        """
        checkpoint = Checkpoint.parse(note.text)
        if not self.logs:
            raise InputError(
                "the policy names no log, so no checkpoint can be checked by it",
                advice="name the log's key beside it, or add a log line",
            )
        log_keys = [log.key for log in self.logs.values()]
        verified = self._verified(note, log_keys)
        signed = tuple(key for key in log_keys if key in verified and key.name == checkpoint.origin)
        if not signed:
            raise UnsignedError(f"no trusted key of the log {quoted(checkpoint.origin)} signed the checkpoint")
        cosigned = self._cosigned(verified)
        if all(key.key_type != ED25519 for key in signed):
            checkpoint = Checkpoint(checkpoint.origin, checkpoint.size, checkpoint.root)
        return Endorsed(checkpoint, signed, cosigned)

    def require_quorum(self, note: SignedNote) -> dict[bytes, int]:
        """Who of the policy cosigned the note, and when, if they are enough: whatever log signed it.

        c2sp.org/tlog-policy: "An application where the appropriate log(s) are known from other context may accept a
        policy with an empty set of logs." Raises UnsignedError, CheckFailedError if a signature does not hold.
        """
        return self._cosigned(self._verified(note, ()))

    def _verified(self, note: SignedNote, log_keys: Iterable[VerifierKey]) -> dict[VerifierKey, int]:
        """The keys, of these and of the witnesses, that signed the note, and the times that they state."""
        witness_keys = [witness.key for witness in self.witnesses.values()]
        try:
            return {one.key: one.timestamp or 0 for one in note.verify((*log_keys, *witness_keys))}
        except UnsignedError:
            return {}

    def _cosigned(self, verified: Mapping[VerifierKey, int]) -> dict[bytes, int]:
        cosigned = {one.name: verified[one.key] for one in self.witnesses.values() if one.key in verified}
        if not self.is_quorum(cosigned):
            names = ", ".join(_shown(name) for name in cosigned) or "nobody"
            raise UnsignedError(f"the quorum {_shown(self.quorum)} did not cosign the checkpoint; {names} did")
        return cosigned

    def is_quorum(self, witnesses: Iterable[bytes]) -> bool:
        """Whether these witnesses, by name, are enough."""
        if self.quorum == NO_QUORUM:
            return True
        satisfied = {name for name in witnesses if name in self.witnesses}
        for group in self.groups.values():
            if sum(member in satisfied for member in group.members) >= group.threshold:
                satisfied.add(group.name)
        return self.quorum in satisfied


class _Builder:
    """Adds definitions to a policy in the order they are given, refusing what the format rules out."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._witness_keys: set[bytes] = set()
        self._members: set[bytes] = set()
        self._has_quorum = False

    def add_log(self, log: Log) -> None:
        if log.key.public in self._witness_keys:
            raise InputError(f"the key of log {quoted(log.key.name)} is already a witness's")
        if self._policy.logs.setdefault(log.key.public, log) is not log:
            raise InputError(f"the key of log {quoted(log.key.name)} is already another log's")

    def add_witness(self, witness: Witness) -> None:
        self._require_new(witness.name)
        if witness.key.public in self._witness_keys:
            raise InputError(f"the key of witness {_shown(witness.name)} is already another witness's")
        if witness.key.public in self._policy.logs:
            raise InputError(f"the key of witness {_shown(witness.name)} is already a log's")
        self._witness_keys.add(witness.key.public)
        self._policy.witnesses[witness.name] = witness

    def add_group(self, group: Group) -> None:
        self._require_new(group.name)
        for member in group.members:
            self._require_defined(member)
            if member in self._members:
                raise InputError(f"{_shown(member)} is already a member of a group")
            self._members.add(member)
        self._policy.groups[group.name] = group

    def set_quorum(self, name: bytes) -> None:
        if self._has_quorum:
            raise InputError("the quorum is defined twice")
        if name != NO_QUORUM:
            self._require_defined(name)
        self._has_quorum = True
        self._policy.quorum = name

    def read(self, items: list[bytes]) -> None:
        keyword, values = items[0], items[1:]
        if keyword == b"log" and 1 <= len(values) <= 2:
            self.add_log(Log(_key(values[0]), *values[1:]))
        elif keyword == b"witness" and 2 <= len(values) <= 3:
            self.add_witness(Witness(values[0], _key(values[1]), *values[2:]))
        elif keyword == b"group" and len(values) >= 3:
            self.add_group(Group(values[0], _threshold(values[1], len(values) - 2), tuple(values[2:])))
        elif keyword == b"quorum" and len(values) == 1:
            self.set_quorum(values[0])
        else:
            raise InputError(
                f"this is no definition: {_shown(keyword)} with {len(values)} values",
                advice="a line is log, witness, group or quorum and what belongs to it",
            )

    def finish(self) -> None:
        if not self._has_quorum:
            raise InputError("the policy has no quorum line", advice="write `quorum none` to need no witness")

    def _require_new(self, name: bytes) -> None:
        if name == NO_QUORUM or name in self._policy.witnesses or name in self._policy.groups:
            raise InputError(f"the name {_shown(name)} is already taken")

    def _require_defined(self, name: bytes) -> None:
        if name not in self._policy.witnesses and name not in self._policy.groups:
            raise InputError(f"no witness or group named {_shown(name)} is defined before this")


def _octets(data: bytes | str) -> bytes:
    try:
        return data.encode("utf-8") if isinstance(data, str) else data
    except UnicodeEncodeError:
        raise InputError("the policy is not valid UTF-8") from None


def _key(vkey: bytes) -> VerifierKey:
    try:
        return VerifierKey.parse(vkey.decode("utf-8"))
    except UnicodeDecodeError:
        raise InputError("a verifier key is not valid UTF-8") from None


def _threshold(text: bytes, members: int) -> int:
    if text == b"any":
        return 1
    if text == b"all":
        return members
    if not text.isdigit() or text.startswith(b"0") or len(text) > 9:
        raise InputError(f"a group needs all, any or a number of its members, not {_shown(text)}")
    return int(text)


def _shown(name: bytes) -> str:
    return quoted(name.decode("utf-8", "backslashreplace"))
