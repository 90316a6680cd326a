"""Stores give their connections back before the process forks, so that a child inherits none.

Leaving inherited connections alone would not be enough: SQLite keeps in memory which locks the process holds,
a forked child takes that over without the locks themselves, and what it appends can then be lost.
"""

from __future__ import annotations

import os
import weakref
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Forkable(Protocol):
        """What a store does around a fork."""

        def before_fork(self) -> None:
            """Wait for what is under way, close every connection, and let nobody open one."""

        def after_fork(self) -> None:
            """In the parent: connections may be opened again."""

        def in_child(self) -> None:
            """In the child: begin anew, with locks of its own."""


_stores: weakref.WeakSet[Forkable] = weakref.WeakSet()
_held: list[Forkable] = []
_mutex = RLock()


def register(store: Forkable) -> None:
    """Have this store close its connections before every fork, for as long as it lives."""
    with _mutex:
        _stores.add(store)


def _before() -> None:
    _mutex.acquire()
    for store in list(_stores):
        _held.append(store)
        store.before_fork()


def _after_in_parent() -> None:
    while _held:
        _held.pop().after_fork()
    _mutex.release()


def _after_in_child() -> None:
    global _mutex
    _mutex = RLock()
    _held.clear()
    for store in list(_stores):
        store.in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_after_in_parent, after_in_child=_after_in_child)
