"""What a key signed last, kept beside the key and not in the ledger: so it never signs a second history.

One file for each key and ledger. It is written before a signature leaves, and on disk before that, so that after a
restore of the ledger the key still knows what it vouched for.
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


class Memory:
    """What one key signed of one ledger. As a context manager it keeps other signers with the key waiting."""

    def __init__(self, folder: KeyFolder, key: Key, ledger_id: str) -> None:
        self._folder = folder
        self._ledger_id = ledger_id
        self._place = os.path.join(folder.path, FOLDER, key.fingerprint)
        self.path = os.path.join(self._place, f"{ledger_id}.json")
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
        """The newest checkpoint that the key signed, or was about to sign; None for none.

        Raises InputError where the memory cannot be read: what it says is then not known, and not nothing.
        """
        signed = [self._checkpoint(origin, fields) for origin, fields in self._read()["origins"].items()]
        return max(signed, key=lambda one: (epoch_of(one.origin, self._ledger_id), one.size), default=None)

    def remember(self, checkpoint: Checkpoint) -> None:
        """Keep the checkpoint as the last one of its origin; on disk on return.

        Raises StoreUnavailableError where it cannot be written: then nothing may be signed.
        """
        document = self._read()
        document["origins"][checkpoint.origin] = {"size": checkpoint.size, "root": checkpoint.root.hex()}
        self._write(document)

    def retired(self) -> int | None:
        """The number of the last checkpoint that the key may sign; None while it is not retired."""
        number = self._read().get("retired")
        return None if number is None else int(number)

    def retire(self, number: int) -> None:
        """Let the key sign no checkpoint above that number. Raises InputError where it is retired."""
        document = self._read()
        if "retired" in document:
            raise InputError(f"the key is already retired at checkpoint {document['retired']}", where=self.path)
        self._write({**document, "retired": number})

    def _make_place(self) -> None:
        if not os.path.isdir(self._place):
            self._folder.make()
            make_folder(self._place)

    def _checkpoint(self, origin: str, fields: Any) -> Checkpoint:
        try:
            return Checkpoint(origin, fields["size"], bytes.fromhex(fields["root"]))
        except (InputError, KeyError, TypeError, ValueError):
            raise self._unreadable("it holds no checkpoint") from None

    def _read(self) -> dict[str, Any]:
        try:
            with open(open_plain(self.path), "rb") as file:
                document: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            return {"v": 1, "ledger": self._ledger_id, "origins": {}}
        except OSError as error:
            raise self._unreadable(error.strerror or "") from None
        except (ValueError, RecursionError):
            raise self._unreadable("it is damaged") from None
        known = isinstance(document, dict) and document.get("v") == 1 and document.get("ledger") == self._ledger_id
        if not known or not isinstance(document.get("origins"), dict):
            raise self._unreadable("it is another one's, or a later version's")
        if not isinstance(document.get("retired", 0), int):
            raise self._unreadable("it is damaged")
        return document

    def _write(self, document: dict[str, Any]) -> None:
        try:
            self._make_place()
            write_whole(self.path, [json.dumps(document).encode("ascii")])
        except StoreUnavailableError as error:
            raise self._unwritable(error.what) from None
        except OSError as error:
            raise self._unwritable(error.strerror or "") from None

    def _unreadable(self, why: str) -> InputError:
        return InputError(
            f"what the key signed last cannot be read ({why}), so it signs nothing",
            where=self.path,
            advice="restore the file, or move it away and vouch for the history with --against CHECKPOINT",
        )

    def _unwritable(self, why: str) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"what the key signs cannot be remembered ({why}), so it signs nothing",
            where=self._place,
            advice="set XDG_CONFIG_HOME to a folder that can be written",
        )
