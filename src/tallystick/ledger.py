"""The one door to a ledger: open, append, read, replay, verify."""

from __future__ import annotations

import os
import sys

from tallystick.chance import Salts
from tallystick.clock import format_time, now, parse_time
from tallystick.errors import InputError, NotFoundError, TamperedError
from tallystick.location import find_ledger, make_place, place_for_new
from tallystick.model.entry import Entry
from tallystick.model.header import Header, decode_header
from tallystick.model.record import BULK, PARTS, SALT_BYTES, SALTS_BYTES, seal
from tallystick.model.session import Replayer, Rules, Session, state_of
from tallystick.model.spelling import closed
from tallystick.opening import open_store
from tallystick.proof.merkle import read_root
from tallystick.recorded import Recorded, State, StoredTree, Watched, open_record, open_row, records_of
from tallystick.stores.base import HEAD_KEY, Head, IdempotencyKey, tip_from

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from types import TracebackType
    from typing import Self

    from tallystick.model.entry import StateRecord
    from tallystick.proof.head_proof import HeadProof
    from tallystick.stores.base import Row, SessionKey, Store
    from tallystick.verification import Fault, Verified

KEY_LIMIT = 512


class Ledger:
    """A ledger: many tasks, each with its session. Use it as a context manager, or close it."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], str] = now,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.store = store
        self._clock = clock
        self._random = random
        self._place = store.url
        self._salts = Salts(SALTS_BYTES, random)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str] | None = None,
        *,
        create: bool = True,
        read_only: bool = False,
        clock: Callable[[], str] = now,
        random: Callable[[int], bytes] = os.urandom,
    ) -> Ledger:
        """The ledger at `url`: `sqlite:///relative.db`, `sqlite:////absolute.db`, `postgresql://…` or a path.

        Without a URL: `TALLYSTICK_LEDGER`, else `.tallystick/ledger.db` here or above. One that does not
        exist is made, unless `create` is False. Raises NotFoundError, StoreUnavailableError, TamperedError.
        """
        create = create and not read_only
        url = os.fspath(url) if url is not None else None
        if url is None:
            url = find_ledger(os.getcwd(), os.environ)
        if url is None:
            if not create:
                raise NotFoundError("no ledger here or above", advice="notch init makes one")
            url, word = place_for_new(os.getcwd(), os.environ)
            if word:
                print(f"notch: {word}", file=sys.stderr)
            make_place(url)
        ledger = cls(open_store(url, create, read_only, clock, random), clock=clock, random=random)
        ledger._place = url
        return ledger

    def for_writing(self) -> Ledger:
        """The same ledger opened anew, for writing, with the password that this one was opened with.

        Raises what `open` raises.
        """
        return Ledger.open(self._place, create=False, clock=self._clock, random=self._random)

    @property
    def ledger_id(self) -> str:
        """The ledger's random name: 32 hex digits."""
        return self.store.ledger_id

    @property
    def url(self) -> str:
        """Where it is: how to open it again, but for a password."""
        return self.store.url

    # --- writing

    def append(
        self,
        task_id: str,
        entries: Entry | Iterable[Entry],
        *,
        expected_position: int | None = None,
        idempotency_key: str | None = None,
    ) -> Head:
        """Append one entry or many, all or none; durable on return. Returns the session's new head.

        `expected_position`: append only after that position. `idempotency_key`: appended once, however often
        it is asked for. Raises ConcurrencyError, IdempotencyConflict, InputError, StoreUnavailableError.
        """
        if isinstance(entries, Entry):
            drafts = [seal(entries, self._salts())]
        else:
            drafts = [seal(entry, self._salts()) for entry in entries]
            if not drafts:
                raise InputError("there is nothing to append", where=task_id)
        key = None if idempotency_key is None else self._key(idempotency_key)
        return self.store.append(task_id, drafts, expected_position=expected_position, key=key)

    def _key(self, key: str) -> IdempotencyKey:
        try:
            fits = 0 < len(key.encode()) <= KEY_LIMIT and "\0" not in key
        except (AttributeError, UnicodeEncodeError):
            fits = False
        if not fits:
            raise InputError(f"an idempotency key is 1 to {KEY_LIMIT} bytes of text without NUL")
        return IdempotencyKey(key, self._random(SALT_BYTES))

    def import_session(self, session: Session, *, comparable: Callable[[Entry], Entry] | None = None) -> Head:
        """Record a session that was made elsewhere; no defaults are filled. Returns its head.

        Where the task has a session, its entries must be the first of the new one's (compared after
        `comparable`), and only the rest is appended. Raises InputError naming the position that differs.
        """
        existing = self.store.find(session.task_id)
        if existing is None:
            header = Header(
                at="",
                ledger="",
                task_id=session.task_id,
                created_at=session.created_at,
                rules=session.rules,
                origin=session.origin,
            )
            drafts = [seal(entry, self._salts()) for entry in session.entries]
            return self.store.create(header, drafts)
        held_header = self._header(existing)
        if held_header.origin and held_header.created_at != session.created_at:
            raise InputError(
                f"it was created at {session.created_at or 'no time'}, the one that is recorded at "
                f"{held_header.created_at or 'no time'}",
                where=session.task_id,
                advice="import it into another task (-t), or into a ledger of its own",
            )
        held = [recorded.entry for recorded in self.entries(session.task_id)]
        same = comparable or (lambda entry: entry)
        for position, (old, new) in enumerate(zip(held, session.entries, strict=False), 1):
            if same(old) != same(new):
                raise InputError(
                    f"entry {position} differs from the one that is recorded",
                    where=session.task_id,
                    advice="import it into another task (-t), or into a ledger of its own",
                )
        if len(session.entries) < len(held):
            raise InputError(
                f"entry {len(session.entries) + 1} was recorded here and is not in it",
                where=session.task_id,
                advice="a session that was continued here is not imported again",
            )
        fresh = [seal(entry, self._salts()) for entry in session.entries[len(held) :]]
        if not fresh:
            return self.store.tip(existing).head()
        return self.store.append(session.task_id, fresh, expected_position=len(held), defaults=False)

    def erase(
        self,
        task_id: str,
        position: int,
        parts: Iterable[str] = PARTS,
        *,
        reason: str,
        actor: str = "",
        finish: bool = True,
    ) -> Head:
        """Erase sealed parts of an entry, and record that: proofs still hold, the bytes are gone.

        Returns the head after the redaction. `finish` False leaves the last step to `finish_erasures`, which writes
        the whole file anew: once for many erasures. Raises NotFoundError and InputError, having erased nothing, and
        StoreUnavailableError where the part is erased and its bytes may still be in the file.
        """
        named = tuple(dict.fromkeys(parts))
        if not named or set(named) - set(PARTS):
            raise InputError(f"parts are {', '.join(PARTS)}", where=task_id)
        entry = Entry(type="redaction", reason=reason, details={"actor": actor} if actor else None)
        redaction = seal(entry, self._salts(), erases=(position, named))
        head = self.store.erase(task_id, position, named, redaction)
        if finish:
            self.finish_erasures()
        return head

    def finish_erasures(
        self, progress: Callable[[int, int], None] | None = None, *, patience: float | None = None
    ) -> None:
        """Have the bytes of all that was erased gone: from the ledger's file, its free space and its log.

        `progress` gets (bytes done, bytes in all). Readers can keep the log in use: it waits `patience` seconds for
        them (default: a minute). PostgreSQL's own copies are beyond it. Raises StoreUnavailableError where bytes
        may still be there.
        """
        self.store.finish_erasures(progress, patience=patience)

    def unfinished_erasures(self) -> list[tuple[str, int]]:
        """(task, position) of the redactions whose erased bytes may still be in the ledger's file: say, since the
        process that erased them was killed. `finish_erasures` completes them.
        """
        return self.store.unfinished_erasures()

    # --- reading

    def tasks(self) -> Iterator[State]:
        """Every task's session, ours and those of other ledgers, without its states: ids and head."""
        for key in self.store.sessions():
            yield State(key.task_id, key.ledger_id, self.store.tip(key).head(), {}, {})

    def sessions_of(self, task_id: str) -> list[SessionKey]:
        """The task's sessions: ours first, then those of other ledgers that are kept beside it."""
        others = [one for one in self.store.ledgers() if one != self.ledger_id]
        found = (self.store.find(task_id, one) for one in (self.ledger_id, *others))
        return [key for key in found if key is not None]

    def head(self, task_id: str, *, ledger_id: str = "") -> Head:
        """The session's head. Raises NotFoundError."""
        return self.store.tip(self._find(task_id, ledger_id)).head()

    def state(self, task_id: str, *, ledger_id: str = "") -> State:
        """Where the task stands, read from indexes: it costs the same after a million entries.

        Raises NotFoundError, and TamperedError where the indexes do not fit the records.
        """
        key = self._find(task_id, ledger_id)
        _, rows = self.store.state_rows(key)
        standing = next((row[1:] for row in rows if row[0] == HEAD_KEY), None)
        head = tip_from(key.task_id, standing).head()
        found: dict[str, dict[str, StateRecord]] = {"c": {}, "p": {}}
        for pointer, position, *_ in sorted(rows, key=lambda row: row[0].encode()):
            if pointer[:1] in found:
                recorded = self._recorded(key, position)
                found[pointer[0]][pointer[1:]] = state_of(recorded.entry, position)
        return State(key.task_id, key.ledger_id, head, found["c"], found["p"])

    def _recorded(self, key: SessionKey, position: int) -> Recorded:
        row = self.store.row(key, position)
        if row is None:
            raise TamperedError("the record is missing", task_id=key.task_id, position=position)
        return open_row(row, key.task_id, outputs=False)

    def entry(self, task_id: str, position: int, *, outputs: bool = True, ledger_id: str = "") -> Recorded:
        """One entry. Raises NotFoundError."""
        key = self._find(task_id, ledger_id)
        row = self.store.row(key, position)
        if row is None:
            raise NotFoundError(f"no entry at position {position}", where=task_id, advice="notch log lists them")
        self._complete(key, row, outputs)
        return open_row(row, task_id, outputs=outputs)

    def entries(
        self,
        task_id: str,
        start: int = 1,
        stop: int | None = None,
        *,
        outputs: bool = True,
        ledger_id: str = "",
    ) -> Iterator[Recorded]:
        """Entries from position `start` to `stop`, both included, as of the head at the first of them.

        `outputs` False leaves outputs out. Raises NotFoundError.
        """
        key = self._find(task_id, ledger_id)
        last = self.store.tip(key).position
        if stop is not None:
            last = min(stop, last)
        many = last - start + 1 >= BULK
        for rows in self.store.rows(key, max(start, 1), last, outputs=outputs):
            for row, record in zip(rows, records_of(rows, task_id, many=many), strict=True):
                if outputs:
                    self._complete(key, row, outputs)
                yield open_record(row, record, task_id, outputs=outputs)

    def watch(
        self,
        tasks: str | Iterable[str] | None = None,
        *,
        after: Mapping[str, int] | None = None,
        outputs: bool = True,
        interval: float = 1.0,
        stop: Callable[[], bool] | None = None,
    ) -> Iterator[Watched]:
        """Every entry of these tasks (default: of all), then each as it is appended, by whomever; never ends.

        `after`: by task, the position after which to begin (default: with the first entry). Whoever keeps the
        positions he has dealt with, and begins after them, misses nothing. `stop` is asked about every
        `interval` seconds whether to end.
        """
        only = None if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
        done = {key.number: position for task, position in (after or {}).items() if (key := self.store.find(task))}
        for moved in self.store.changes(done, only=only, interval=interval):
            for key, position in moved:
                for rows in self.store.rows(key, done.get(key.number, 0) + 1, position, outputs=outputs):
                    for row in rows:
                        self._complete(key, row, outputs)
                        one = open_row(row, key.task_id, outputs=outputs)
                        yield Watched(one.position, one.at, one.entry, one.erased, key.task_id)
                done[key.number] = position
            if stop is not None and stop():
                return

    def _complete(self, key: SessionKey, row: Row, outputs: bool) -> None:
        sealed = row.sealed
        if outputs and sealed.output is None and sealed.output_salt is not None:
            sealed.output = b"".join(self.store.artifact(key, row.position))
            if not sealed.output:
                raise TamperedError("its output is missing", task_id=key.task_id, position=row.position)

    def output(self, task_id: str, position: int, *, ledger_id: str = "") -> bytes:
        """The kept output of an entry, as it was printed. Raises NotFoundError."""
        return self.entry(task_id, position, ledger_id=ledger_id).entry.output_bytes

    def session(
        self, task_id: str, at: int | str | None = None, *, outputs: bool = True, ledger_id: str = ""
    ) -> Session:
        """The task's session, replayed: now, as of a position, or as of a time.

        At a time it is the longest prefix whose records are not later. Raises NotFoundError, InputError.
        """
        key = self._find(task_id, ledger_id)
        header = self._header(key)
        stop = None if at is None else at if isinstance(at, int) else self.position_at(task_id, at, key=key)
        if isinstance(stop, int) and not 0 <= stop <= self.store.tip(key).position:
            raise NotFoundError(f"no position {stop}", where=task_id, advice="notch log lists them")
        replayer = Replayer(header.rules)
        entries = []
        memo: dict[str, str] = {}
        for recorded in self.entries(task_id, 1, stop, outputs=outputs, ledger_id=ledger_id):
            entry = recorded.entry.sharing(memo)
            entries.append(entry)
            replayer.add(entry)
        return Session(
            schema_version=header.schema_version,
            task_id=header.task_id,
            created_at=header.created_at,
            updated_at=replayer.updated_at(header.updated_at),
            entries=entries,
            criterion_states=replayer.criterion_states(),
            phase_blocks=replayer.phase_blocks(),
            rules=Rules(header.rules),
            origin=header.origin,
        )

    def position_at(self, task_id: str, time: str, *, key: SessionKey | None = None) -> int:
        """The last position recorded not after `time` (ISO 8601); 0 where all are later."""
        key = key or self._find(task_id)
        moment = format_time(parse_time(time))
        low, high = 0, self.store.tip(key).position
        while low < high:
            middle = (low + high + 1) // 2
            if self._recorded(key, middle).at <= moment:
                low = middle
            else:
                high = middle - 1
        return low

    def root_at(self, task_id: str, position: int, *, ledger_id: str = "") -> Head:
        """The session's head as it stood at a position. Raises NotFoundError."""
        key = self._find(task_id, ledger_id)
        if not 0 <= position <= self.store.tip(key).position:
            raise NotFoundError(f"no position {position}", where=task_id)
        return Head(position, read_root(position + 1, StoredTree(self.store, key)).hex())

    def head_proof(self, task_id: str, number: int | None = None) -> HeadProof:
        """What a checkpoint proves of a task: its newest head as of then, or that it had no session.

        The newest checkpoint, or the one of that number. A head may since have moved on. Raises NotFoundError
        where there is no such checkpoint, TamperedError.
        """
        from tallystick.stores.checkpoints import head_proof

        return head_proof(self.store, task_id, number)

    # --- verifying

    def verify(
        self,
        task_id: str | None = None,
        *,
        head: Head | str | None = None,
        ledger_id: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> list[Verified]:
        """Recompute the task's session, or all of them and the store; returns what was verified.

        `head`: one that was seen earlier and that today's history must extend. Raises TamperedError naming
        the first thing wrong, StoreUnavailableError for a session that a later version wrote to.
        """
        from tallystick.verification import Fault, raise_first

        verified: list[Verified] = []
        faults: list[Fault] = []
        try:
            for found in self.inspect(task_id, head=head, ledger_id=ledger_id, progress=progress):
                if isinstance(found, Fault):
                    faults.append(found)
                else:
                    verified.append(found)
                    faults += found.faults
        except TamperedError:
            raise_first(faults)
            raise
        raise_first(faults)
        for one in verified:
            if one.closed:
                raise closed(one.task_id)
        return verified

    def inspect(
        self,
        task_id: str | None = None,
        *,
        head: Head | str | None = None,
        ledger_id: str = "",
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[Verified | Fault]:
        """What `verify` finds, one by one, faults included, without raising for them."""
        from tallystick.verification import Fault, iterate_store, verify_session

        if task_id is None:
            if head is not None:
                raise InputError("a head belongs to one task", advice="name the task")
            yield from iterate_store(self.store, progress)
            return
        key = self._find(task_id, ledger_id)
        known = [] if head is None else [Head.parse(head) if isinstance(head, str) else head]
        for where, position, what in self.store.faults(key):
            yield Fault(where, position, what)
        yield verify_session(self.store, key, known=known, progress=progress)

    # --- life

    def _header(self, key: SessionKey) -> Header:
        try:
            return decode_header(key.header)
        except InputError as error:
            raise TamperedError(error.what, task_id=key.task_id, position=0) from None

    def _find(self, task_id: str, ledger_id: str = "") -> SessionKey:
        key = self.store.find(task_id, ledger_id)
        if key is None:
            raise NotFoundError("no such task in the ledger", where=task_id, advice="notch tasks lists them")
        return key

    def close(self) -> None:
        """Give the store back. The ledger can no longer be used."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
