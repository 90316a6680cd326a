"""Holding a ledger to a checkpoint that somebody kept: whose signature it bears, and whether the ledger extends it."""

from __future__ import annotations

from tallystick.errors import CheckFailedError, InputError
from tallystick.model.frozen import Frozen, set_once
from tallystick.model.jsontext import SAFE_INTEGER
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.encoding import decode_decimal, quoted
from tallystick.proof.headmap import map_key
from tallystick.proof.keys import LOG_TYPES, VerifierKey
from tallystick.proof.merkle import Edge, leaf_hash
from tallystick.proof.note import SignedNote, UnsignedError
from tallystick.proof.policy import Policy
from tallystick.stores.checkpoints import checkpoints, epoch_of, origin_of
from tallystick.stores.log_faults import log_faults
from tallystick.verification import Fault

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Protocol

    from tallystick.ledger import Ledger
    from tallystick.stores.checkpoints import CheckpointLog

if TYPE_CHECKING:

    class Judge(Protocol):
        """Whoever says whose checkpoints count."""

        def check(self, note: SignedNote, checkpoint: Checkpoint, ledger_id: str) -> list[VerifierKey]:
            """The keys that signed it and count. Raises UnsignedError, CheckFailedError."""


_POLICY_WORDS = frozenset((b"log", b"witness", b"group", b"quorum"))


class Trusted(Frozen):
    """A key whose checkpoints count, up to the one it retired at."""

    __slots__ = FIELDS = ("key", "until")

    key: VerifierKey
    """The key. Under the name of a ledger's first epoch it counts in every epoch, else in the one it names."""
    until: int | None
    """The number of the last checkpoint that counts; None while it is not retired."""

    def __init__(self, key: VerifierKey, until: int | None = None) -> None:
        set_once(self, "key", key)
        set_once(self, "until", until)

    @classmethod
    def parse(cls, line: str) -> Trusted:
        """The key that `VKEY` or `VKEY until NUMBER` spells, with ASCII white space between. Raises InputError."""
        words = [word.decode("utf-8", "replace") for word in line.encode("utf-8", "replace").split()]
        vkey, rest = (words[0], words[1:]) if words else ("", [])
        key = VerifierKey.parse(vkey)
        if key.key_type not in LOG_TYPES:
            raise InputError(f"the key of {quoted(key.name)} is a witness's: type 0x{key.key_type:02x}")
        if not rest:
            return cls(key)
        if rest[0] != "until" or len(rest) != 2:
            raise InputError(f"after a key comes `until` and a number, not {quoted(' '.join(rest))}")
        return cls(key, decode_decimal(rest[1], "the checkpoint it retired at"))

    def under(self, origin: str, ledger_id: str) -> VerifierKey | None:
        """The key as it signs that origin; None where it is not one of that log's."""
        if self.key.name == origin:
            return self.key
        first = self.key.name == origin_of(ledger_id) and epoch_of(origin, ledger_id)
        return self.key.replace(name=origin) if first else None


class AnyOf:
    """One of these keys must have signed, or else those whom another judge trusts."""

    def __init__(self, keys: Iterable[Trusted], otherwise: Judge | None = None) -> None:
        self._keys = tuple(keys)
        self._otherwise = otherwise

    def check(self, note: SignedNote, checkpoint: Checkpoint, ledger_id: str) -> list[VerifierKey]:
        """See `Judge.check`."""
        try:
            return _signers(note, checkpoint, ledger_id, self._keys)
        except UnsignedError:
            if self._otherwise is None:
                raise
        return self._otherwise.check(note, checkpoint, ledger_id)


class Witnessed:
    """One of these keys must have signed, and the quorum of a policy that names no log must have cosigned."""

    def __init__(self, keys: Iterable[Trusted], policy: Policy) -> None:
        self._keys = AnyOf(keys)
        self._policy = policy

    def check(self, note: SignedNote, checkpoint: Checkpoint, ledger_id: str) -> list[VerifierKey]:
        """See `Judge.check`."""
        signed = self._keys.check(note, checkpoint, ledger_id)
        self._policy.require_quorum(note)
        return signed


class Against(Frozen):
    """A checkpoint to hold a ledger to."""

    __slots__ = FIELDS = ("checkpoint", "signers")

    checkpoint: Checkpoint
    """What it says."""
    signers: tuple[str, ...]
    """The names and ids of trusted keys that signed it; empty where no key was given to check it with."""

    def __init__(self, checkpoint: Checkpoint, signers: tuple[str, ...] = ()) -> None:
        set_once(self, "checkpoint", checkpoint)
        set_once(self, "signers", signers)


def read_trusted(data: bytes) -> list[Trusted] | Policy:
    """The keys in a file: a line each as `Trusted.parse` reads them, or a C2SP tlog-policy. Raises InputError."""
    lines = [(number, line.split()) for number, line in enumerate(data.split(b"\n"), 1)]
    lines = [(number, words) for number, words in lines if words and not words[0].startswith(b"#")]
    if lines and lines[0][1][0] in _POLICY_WORDS:
        return Policy.parse(data)
    found = []
    for number, words in lines:
        try:
            found.append(Trusted.parse(b" ".join(words).decode("utf-8")))
        except UnicodeDecodeError:
            raise InputError("the line is not valid UTF-8", where=f"line {number}") from None
        except InputError as error:
            raise InputError(error.what, where=f"line {number}", advice=error.advice) from None
    if not found:
        raise InputError("the file names no key")
    return found


def read_against(data: bytes, ledger_id: str, trusted: list[Trusted] | Policy | Judge | None = None) -> Against:
    """The checkpoint that a note holds, once one of the trusted keys is known to have signed it.

    With None the signature is not looked at. Raises InputError where it is no checkpoint of that ledger,
    UnsignedError where no trusted key signed it, CheckFailedError where a signature does not hold or only a key
    signed it that had retired by then.
    """
    note = SignedNote.parse(data)
    checkpoint = Checkpoint.parse(note.text)
    if not epoch_of(checkpoint.origin, ledger_id) or not checkpoint.size:
        raise InputError(
            f"this is no checkpoint of this ledger but of {quoted(checkpoint.origin)}",
            advice=f"its checkpoints begin with {origin_of(ledger_id)}",
        )
    if checkpoint.size > SAFE_INTEGER:
        raise InputError(f"no ledger has {checkpoint.size} checkpoints")
    if trusted is None:
        return Against(checkpoint)
    if isinstance(trusted, Policy):
        signed: Iterable[VerifierKey] = trusted.check(note).logs
    elif isinstance(trusted, list):
        signed = AnyOf(trusted).check(note, checkpoint, ledger_id)
    else:
        signed = trusted.check(note, checkpoint, ledger_id)
    return Against(checkpoint, tuple(f"{key.name}+{key.key_id.hex()}" for key in signed))


def _signers(note: SignedNote, checkpoint: Checkpoint, ledger_id: str, trusted: Iterable[Trusted]) -> list[VerifierKey]:
    keys: dict[VerifierKey, int | None] = {}
    for one in trusted:
        key = one.under(checkpoint.origin, ledger_id)
        if key is not None:
            ends = [until for until in (one.until, keys.get(key)) if until is not None]
            keys[key] = min(ends, default=None)
    if not keys:
        raise UnsignedError(f"none of the keys given signs for {checkpoint.origin}")
    signed = [verified.key for verified in note.verify(keys)]
    counting = [key for key in signed if (until := keys[key]) is None or checkpoint.size <= until]
    if not counting:
        raise CheckFailedError(
            f"checkpoint {checkpoint.size} was signed by a key that retired at checkpoint {keys[signed[0]]}"
        )
    return counting


def faults_against(ledger: Ledger, checkpoint: Checkpoint, task_ids: Sequence[str] = ()) -> Iterator[Fault]:
    """Where the ledger's log does not extend the checkpoint, or is not what its own hashes say.

    Verifying a session then holds it to its heads in that log. With tasks named, those that are gone are told;
    without, it is all of the store that has to be verified beside this, and its log is left to that.
    """
    log = ledger.store.log
    why = _difference(log, checkpoint, ledger.ledger_id)
    if why:
        yield Fault("", None, why)
    if task_ids:
        yield from (Fault(*fault) for fault in log_faults(log, ledger.ledger_id))
    for task_id in task_ids:
        if ledger.store.find(task_id) is None:
            key = map_key(task_id)
            for _, position, _ in log.heads(checkpoint.size, key, key) if log.size() else ():
                what = f"checkpoint {checkpoint.size} is about it at position {position}, and its session is gone"
                yield Fault(task_id, None, what)


def _difference(log: CheckpointLog, checkpoint: Checkpoint, ledger_id: str) -> str:
    edge, epochs = Edge(), []
    why = f"checkpoint {checkpoint.size} was seen, the ledger has {log.size()}"
    for one in checkpoints(log):
        leaf = one.statement()
        if leaf.after is not None:
            epochs.append((one.number, leaf.epoch, leaf.after))
        edge.append(leaf_hash(one.leaf))
        if one.number == checkpoint.size:
            why = f"checkpoint {checkpoint.size} of the ledger is not the one that was seen: its history was rewritten"
            why = "" if edge.root() == checkpoint.root else why
    if not why:
        return ""
    for number, epoch, after in epochs:
        if (
            epoch_of(after.origin, ledger_id) >= epoch_of(checkpoint.origin, ledger_id)
            and after.size >= checkpoint.size
        ):
            return f"{why}; epoch {epoch} began with checkpoint {number}, after checkpoint {after.size} was given up"
    return why
