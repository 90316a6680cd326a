"""Fills a PostgreSQL ledger fast: COPY of what the product itself would have stored, so that every task verifies.

A record names neither its ledger nor its task, only the header does. So the same few records serve for all tasks, and
what differs is made for each: the header, the nodes that reach back to it, the head.
"""

from __future__ import annotations

import os
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from measure import entry
from tallystick.clock import format_time
from tallystick.model.header import Header
from tallystick.model.record import seal
from tallystick.proof.merkle import Edge, leaf_hash
from tallystick.stores.base import Tip, extend
from tallystick.stores.postgres_schema import COLUMNS, partition_of, session_key
from tallystick.stores.postgres_sql import copied, int4, int8, integers, row_values, texts

CHUNK = 20_000
"""Tasks a transaction."""
_TABLES = ("session", "record", "state")


def name_of(number: int) -> str:
    """What the task with that number is called."""
    return f"build-{number:07}"


class Filler:
    """Adds tasks with so many entries each."""

    def __init__(self, connection: psycopg.Connection[Any], entries: int) -> None:
        self._connection = connection
        self._began = datetime.now(UTC) - timedelta(hours=1)
        ((self._ledger_id,),) = connection.execute("SELECT ledger_id FROM tallystick.ledger WHERE number = 1")
        at = format_time(self._began + timedelta(minutes=30))
        tip, self._pointers, self._rows = Tip(0, at, Edge(1, [bytes(32)])), {}, []
        for number in range(entries):
            drafts = [seal(entry(number), os.urandom(48))]
            extension = extend(tip, drafts, now=at, rules=1, pointers=self._pointers)
            self._pointers.update(extension.pointers)
            self._rows.append((row_values(extension.rows[0]), leaf_hash(extension.rows[0].record)))
        self._at = at.encode()
        self._packed = texts(self._pointers), integers(self._pointers.values())

    def fill(self, first: int, last: int) -> None:
        """Make the tasks from one number up to another, which is left out, in one transaction."""
        lines: dict[tuple[str, str], list[list[bytes | None]]] = defaultdict(list)
        for number in range(first, last):
            self._add(number, lines)
        with self._connection.transaction(), self._connection.cursor() as cursor:
            for (table, digit), rows in sorted(lines.items(), key=lambda item: (_TABLES.index(item[0][0]), item[0][1])):
                rows.sort(key=lambda row: row[0] or b"")
                columns = ", ".join(name for name, *_ in COLUMNS[table])
                with cursor.copy(f"COPY tallystick.{table}_{digit} ({columns}) FROM STDIN (FORMAT BINARY)") as copy:
                    for block in copied(rows):
                        copy.write(block)

    def _add(self, number: int, lines: dict[tuple[str, str], list[list[bytes | None]]]) -> None:
        task_id = name_of(number)
        key = session_key(self._ledger_id, task_id)
        digit = partition_of(int.from_bytes(key))
        at = format_time(self._began + timedelta(microseconds=number))
        header = Header(at=at, ledger=self._ledger_id, task_id=task_id, created_at=at).encode()
        edge = Edge()
        edge.append(leaf_hash(header))
        records = lines["record", digit]
        for values, leaf in self._rows:
            position, record, _, *rest = values
            records.append([key, position, record, edge.append(leaf), *rest])
        lines["session", digit].append([key, int4(1), task_id.encode(), header])
        head = [key, b"", int8(len(self._rows)), self._at, edge.pack(), *self._packed, b"\0", b"\1"]
        lines["state", digit].append(head)
