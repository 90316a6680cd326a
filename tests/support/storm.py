"""Processes that append as fast as they can, and one that kills them: run as a script, for a machine of its own.

storm.py append LEDGER TASK NAME          after a line on standard input, append until the next one
storm.py kill LEDGER COUNT SEED           fork writers, kill -9 each at a random moment, look what is left
storm.py birth LEDGER COUNT SEED          the same for processes that make a ledger: LEDGER0, LEDGER1, …
storm.py create LEDGER COUNT              fork that many, let all open (and make) the ledger at once
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tallystick import Entry, Ledger, TallystickError

LARGE = os.urandom(200_000)


def append(path: str, task: str, name: str) -> None:
    """Prints, at the end, every position that was acknowledged and the longest wait in seconds."""
    with Ledger.open(path) as ledger:
        print("ready", flush=True)
        sys.stdin.readline()
        positions: list[int] = []
        worst, turn = 0.0, 0
        while not select.select([sys.stdin], [], [], 0)[0]:
            start = time.monotonic()
            head = ledger.append(task, Entry(type="note", id=f"{name}.{turn}", provider=name))
            worst = max(worst, time.monotonic() - start)
            positions.append(head.position)
            turn += 1
    print(json.dumps({"positions": positions, "worst": worst}), flush=True)


def _write(path: str, pipe: int, seed: int) -> None:
    """Do all that writes, at random, and say so through the pipe once it is acknowledged."""
    chance = random.Random(seed)
    ledger = Ledger.open(path)
    turn = 0
    while True:
        turn += 1
        task = chance.choice(["a", "a", "b", f"new {chance.randrange(50)}"])
        key = f"{seed}.{turn}"
        entry = Entry(type="note", criterion_id=chance.choice(["", "ac1", "ac2"]), id=key, reason="because", output="o")
        kind = chance.random()
        erased = 0
        if kind < 0.1:
            head = ledger.append(task, [entry] * chance.randint(2, 40))
        elif kind < 0.15:
            head = ledger.append(task, entry.replace(output=LARGE))
        elif kind < 0.2:
            erased = ledger.append(task, entry).position
            head = ledger.erase(task, erased, ["text"], reason="leaked")
        elif kind < 0.4:
            head = ledger.append(task, entry, idempotency_key=key)
        else:
            head = ledger.append(task, entry)
        said = {"task": task, "position": head.position, "root": head.root, "key": key, "erased": erased}
        os.write(pipe, json.dumps(said).encode() + b"\n")


def kill(path: str, count: int, seed: int) -> None:
    """Prints how many entries were acknowledged; fails where one is gone, or verification finds anything."""
    chance = random.Random(seed)
    acknowledged: dict[str, dict[int, dict[str, Any]]] = {}
    total = 0
    for turn in range(count):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _write(path, writing, seed * 1_000_003 + turn)
        os.close(writing)
        time.sleep(chance.random() * 0.08)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading, "rb") as said:
            lines = said.read().splitlines()
        for line in lines:
            one = json.loads(line)
            acknowledged.setdefault(one["task"], {})[one["position"]] = one
            total += 1
        _check(path, acknowledged, whole=turn % 50 == 49 or turn == count - 1)
    print(json.dumps({"acknowledged": total, "tasks": len(acknowledged)}))


def birth(path: str, count: int, seed: int) -> None:
    """Prints how many were acknowledged before they were killed; fails where one of those is gone."""
    chance = random.Random(seed)
    acknowledged = 0
    for turn in range(count):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            with Ledger.open(f"{path}{turn}") as ledger:
                os.write(writing, str(ledger.append("t", Entry(type="note"))).encode())
                time.sleep(60)
        os.close(writing)
        time.sleep(chance.random() * 0.04)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(reading, "r") as pipe:
            said = pipe.read()
        with Ledger.open(f"{path}{turn}") as ledger:
            head = ledger.append("t", Entry(type="note"))
            if said:
                acknowledged += 1
                ledger.verify("t", head=said)
                assert head.position == 2
            ledger.verify()
    print(json.dumps({"acknowledged": acknowledged}))


def _check(path: str, acknowledged: dict[str, dict[int, dict[str, Any]]], *, whole: bool) -> None:
    with Ledger.open(path) as ledger:
        ledger.verify()
        for task, heads in acknowledged.items():
            for position, said in heads.items() if whole else list(heads.items())[-5:]:
                assert ledger.root_at(task, position).root == said["root"], (task, said)
                if said["erased"]:
                    assert ledger.entry(task, said["erased"]).erased == ("text",), (task, said)
                else:
                    assert ledger.entry(task, position, outputs=False).entry.id == said["key"], (task, said)
        before = ledger.head("after").position if "after" in {state.task_id for state in ledger.tasks()} else 0
        assert ledger.append("after", Entry(type="note")).position == before + 1


def create(path: str, count: int) -> None:
    """Prints every ledger id that was seen, and the number of entries."""
    reading, writing = os.pipe()
    gate, release = os.pipe()
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            os.close(release)
            os.read(gate, 1)
            _make(path, number, writing)
        children.append(child)
    os.close(gate)
    os.close(release)
    os.close(writing)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    with os.fdopen(reading, "r") as said:
        ids = said.read().split()
    with Ledger.open(path) as ledger:
        ledger.verify()
        print(json.dumps({"ids": ids, "codes": codes, "position": ledger.head("t").position}))


def _make(path: str, number: int, pipe: int) -> None:
    try:
        ledger = Ledger.open(path)
        ledger.append("t", Entry(type="note", id=str(number)))
        os.write(pipe, f"{ledger.ledger_id}\n".encode())
    except TallystickError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    command, target, *rest = sys.argv[1:]
    if command == "append":
        append(target, *rest)
    elif command in ("kill", "birth"):
        {"kill": kill, "birth": birth}[command](target, int(rest[0]), int(rest[1]))
    else:
        create(str(Path(target)), int(rest[0]))
