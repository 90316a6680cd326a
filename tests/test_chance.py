"""Salts: no two alike, whoever draws them."""

from __future__ import annotations

import os
import threading

import pytest

from tallystick.chance import DRAWN, Salts


def test_no_two_are_alike() -> None:
    salts = Salts(48, os.urandom)
    drawn = [salts() for _ in range(5 * DRAWN)]
    assert {len(one) for one in drawn} == {48}
    assert len({one[start : start + 16] for one in drawn for start in (0, 16, 32)}) == 3 * len(drawn)


def test_threads_get_none_of_each_others() -> None:
    salts = Salts(16, os.urandom)
    drawn: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: [drawn.append(salts()) for _ in range(500)], daemon=True) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(drawn) == len(set(drawn)) == 4_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_draws_its_own() -> None:
    salts = Salts(16, os.urandom)
    salts()
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        os.write(theirs, b"".join(salts() for _ in range(DRAWN)))
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        other = pipe.read()
    os.waitpid(child, 0)
    assert len(other) == 16 * DRAWN
    assert not {other[at : at + 16] for at in range(0, len(other), 16)} & {salts() for _ in range(DRAWN)}


def test_other_chance_is_asked_each_time() -> None:
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return bytes(size)

    salts = Salts(48, random)
    assert [salts(), salts()] == [bytes(48)] * 2
    assert asked == [48, 48]
