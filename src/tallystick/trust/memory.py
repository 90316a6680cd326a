"""What a key signed last, kept beside the key and not in the ledger: so it never signs a second history.

One file for each key and ledger, and another one while a checkpoint is being signed. That one is on disk before there
is a signature, so that after a restore of the ledger, or if the signer dies, the key still knows what it vouched for.
"""

from __future__ import annotations

import json
import os

from tallystick.errors import InputError, StoreUnavailableError
from tallystick.files import make_folder, open_plain, write_whole
from tallystick.proof.checkpoint import Checkpoint
from tallystick.stores.checkpoints import epoch_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

    from tallystick.trust.keys import Key, KeyFolder

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

FOLDER = "memory"


class Pending:
    """A checkpoint that the key was about to sign: it may be signed, and nobody knows yet whether it was stored."""

    __slots__ = ("checkpoint", "heads", "leaf")

    def __init__(self, checkpoint: Checkpoint, leaf: bytes, heads: dict[str, int]) -> None:
        self.checkpoint = checkpoint
        self.leaf = leaf
        """What it states: see `CheckpointLeaf`."""
        self.heads = heads
        """The heads that moved: task id to position."""


class Memory:
    """What one key signed of one ledger. As a context manager it keeps other signers with the key waiting."""

    def __init__(self, folder: KeyFolder, key: Key, ledger_id: str) -> None:
        self._folder = folder
        self._ledger_id = ledger_id
        self._place = os.path.join(folder.path, FOLDER, key.fingerprint)
        self.path = os.path.join(self._place, f"{ledger_id}.json")
        self.pending_path = os.path.join(self._place, f"{ledger_id}.pending.json")
        self._lock = -1

    def __enter__(self) -> Memory:
        try:
            self._make_place()
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if fcntl is not None:
                fcntl.flock(self._lock, fcntl.LOCK_EX)
        except OSError as error:
            raise self._unwritable(error.strerror or "") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def last(self) -> Checkpoint | None:
        """The newest checkpoint that the key is known to have signed; None for none.

        Raises InputError where the memory cannot be read: what it says is then not known, and not nothing.
        """
        signed = [self._checkpoint(origin, fields) for origin, fields in self._read()["origins"].items()]
        return max(signed, key=lambda one: (epoch_of(one.origin, self._ledger_id), one.size), default=None)

    def covered(self, checkpoint: Checkpoint) -> tuple[int, int] | None:
        """(tasks, entries and headers) that the checkpoint is about, as the key knew when it signed it.

        None if the key did not sign it, or does not know.
        """
        fields = self._read()["origins"].get(checkpoint.origin)
        if fields is None or self._checkpoint(checkpoint.origin, fields) != checkpoint:
            return None
        covered = fields.get("tasks"), fields.get("entries")
        return covered if type(covered[0]) is type(covered[1]) is int else None

    def remember(self, checkpoint: Checkpoint, covered: tuple[int, int] | None = None) -> None:
        """Keep the checkpoint as the last one of its origin, and none as pending; on disk on return.

        `covered`: see there. Raises StoreUnavailableError if it cannot be written: then nothing may be signed.
        """
        document, fields = self._read(), {"size": checkpoint.size, "root": checkpoint.root.hex()}
        if covered is not None:
            fields |= {"tasks": covered[0], "entries": covered[1]}
        document["origins"][checkpoint.origin] = fields
        self._write(self.path, document)
        self.forget_pending()

    def pending(self) -> Pending | None:
        """The checkpoint that the key was about to sign last, if it is not known to be stored. Raises InputError."""
        document = self._load(self.pending_path)
        if document is None:
            return None
        try:
            checkpoint = self._checkpoint(document["origin"], document)
            heads = {task: position for task, position in document["heads"].items() if type(position) is int}
            return Pending(checkpoint, document["leaf"].encode(), heads)
        except (AttributeError, KeyError, TypeError):
            raise self._unreadable("it holds no checkpoint", self.pending_path) from None

    def prepare(self, pending: Pending) -> None:
        """Keep what the key is about to sign; on disk on return. Raises StoreUnavailableError if that cannot be."""
        checkpoint = pending.checkpoint
        document = {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}
        document |= {"leaf": pending.leaf.decode(), "heads": pending.heads}
        self._write(self.pending_path, {**self._new(), **document})

    def forget_pending(self) -> None:
        """Keep none as pending: it is known to be stored, or somebody vouches for another one in its place."""
        try:
            os.unlink(self.pending_path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise self._unwritable(error.strerror or "") from None

    def retired(self) -> int | None:
        """The number of the last checkpoint that the key may sign; None while it is not retired."""
        number = self._read().get("retired")
        return None if number is None else int(number)

    def retire(self, number: int) -> None:
        """Let the key sign no checkpoint above that number. Raises InputError where it is retired."""
        document = self._read()
        if "retired" in document:
            raise InputError(f"the key is already retired at checkpoint {document['retired']}", where=self.path)
        self._write(self.path, {**document, "retired": number})

    def _make_place(self) -> None:
        if not os.path.isdir(self._place):
            self._folder.make()
            make_folder(self._place)

    def _checkpoint(self, origin: str, fields: Any) -> Checkpoint:
        try:
            return Checkpoint(origin, fields["size"], bytes.fromhex(fields["root"]))
        except (InputError, KeyError, TypeError, ValueError):
            raise self._unreadable("it holds no checkpoint") from None

    def _new(self) -> dict[str, Any]:
        return {"v": 1, "ledger": self._ledger_id}

    def _read(self) -> dict[str, Any]:
        document = self._load(self.path)
        if document is None:
            return {**self._new(), "origins": {}}
        if not isinstance(document.get("origins"), dict):
            raise self._unreadable("it is another one's, or a later version's")
        if not isinstance(document.get("retired", 0), int):
            raise self._unreadable("it is damaged")
        return document

    def _load(self, path: str) -> dict[str, Any] | None:
        """What the file holds; None if there is none."""
        try:
            with open(open_plain(path), "rb") as file:
                document: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unreadable(error.strerror or "", path) from None
        except (ValueError, RecursionError):
            raise self._unreadable("it is damaged", path) from None
        if not isinstance(document, dict) or (document.get("v"), document.get("ledger")) != (1, self._ledger_id):
            raise self._unreadable("it is another one's, or a later version's", path)
        return document

    def _write(self, path: str, document: dict[str, Any]) -> None:
        try:
            self._make_place()
            write_whole(path, [json.dumps(document).encode("ascii")])
        except StoreUnavailableError as error:
            raise self._unwritable(error.what) from None
        except OSError as error:
            raise self._unwritable(error.strerror or "") from None

    def _unreadable(self, why: str, path: str = "") -> InputError:
        return InputError(
            f"what the key signed last cannot be read ({why}), so it signs nothing",
            where=path or self.path,
            advice="restore the file, or move it away and vouch for the history with --against CHECKPOINT",
        )

    def _unwritable(self, why: str) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"what the key signs cannot be remembered ({why}), so it signs nothing",
            where=self._place,
            advice="set XDG_CONFIG_HOME to a folder that can be written",
        )
