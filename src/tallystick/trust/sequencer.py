"""Checkpoints at regular intervals, beside any number of twins at work on the same ledger.

One of them leads, for as long as it renews its lease; the others look on and remember what it signs, so that any of
them can go on. The lease only keeps them out of each other's way: two that both believe they lead make one log all
the same, since a checkpoint is prepared under a number that only one of them gets.
"""

from __future__ import annotations

import os
import time

from tallystick.errors import CheckFailedError, InputError, StoreUnavailableError
from tallystick.proof.checkpoint import Checkpoint
from tallystick.proof.note import SignedNote
from tallystick.stores.checkpoints import newest
from tallystick.trust.signer import Standing, UnknownHistoryError, sign_checkpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from tallystick.ledger import Ledger
    from tallystick.trust.keys import Key
    from tallystick.trust.memory import Memory
    from tallystick.trust.signer import Made

LEASE_INTERVALS = 3
"""A leader that does not come back for so many intervals has lost the lead."""
LEAST_LEASE = 5.0
WAKE_SECONDS = 0.2


class Sequencer:
    """Makes a checkpoint of the ledger every `interval` seconds where something moved and nobody else does."""

    def __init__(self, ledger: Ledger, key: Key, memory: Memory, interval: float) -> None:
        self._ledger = ledger
        self._key = key
        self._memory = memory
        self._interval = interval
        self._holder = f"{os.uname().nodename}:{os.getpid()}:{os.urandom(4).hex()}"

    def run(
        self,
        deliver: Callable[[Made], None],
        *,
        against: Checkpoint | None = None,
        complain: Callable[[str], None] = lambda _: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Go on until `stop` says so; `deliver` gets every checkpoint that was signed here.

        A store that cannot be reached is told to `complain` and asked again. Raises what signing raises where
        the ledger is not what the key knows: TamperedError, UnknownHistoryError, InputError.
        """
        while not stop():
            began = time.monotonic()
            try:
                made = self.once(against)
            except StoreUnavailableError as error:
                complain(str(error))
            else:
                if made is not None and made.signed:
                    deliver(made)
            while (left := self._interval - (time.monotonic() - began)) > 0 and not stop():
                time.sleep(min(left, WAKE_SECONDS))

    def once(self, against: Checkpoint | None = None) -> Made | None:
        """Sign where we lead; else look on, and remember. None where nothing was signed here."""
        lead = getattr(self._ledger.store.log, "lead", None)
        if lead is None or lead(self._holder, max(self._interval * LEASE_INTERVALS, LEAST_LEASE)):
            return sign_checkpoint(self._ledger, self._key, self._memory, against=against)
        self._look_on(against)
        return None

    def _look_on(self, against: Checkpoint | None) -> None:
        """Remember the newest checkpoint where our own key signed it and it extends what we remember.

        Whoever takes over then signs nothing that would be a second history beside it.
        """
        log = self._ledger.store.log
        last = newest(log)
        if last is None:
            return
        try:
            note = SignedNote.parse(last.note)
            checkpoint = Checkpoint.parse(note.text)
            note.verify([self._key.verifier(checkpoint.origin)])
        except (InputError, CheckFailedError):
            return
        with self._memory as memory:
            known = memory.last()
            if known is None and against is None and last.number > 1:
                raise UnknownHistoryError(
                    f"{self._key} has no memory of this ledger, which has {last.number} checkpoints",
                    where=self._ledger.url,
                    advice="vouch for its history: notch checkpoint --against CHECKPOINT",
                )
            if known is not None and Standing(log).differs_from(known):
                return
            if known is None or known.size < checkpoint.size:
                memory.remember(checkpoint)
