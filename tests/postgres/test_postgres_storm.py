"""64 writers in 8 processes over 1,000 tasks, while clients are killed, connections cut and the server restarted."""

from __future__ import annotations

import random
import time
from pathlib import Path

from support.appenders import Appenders, acknowledged, check
from support.postgres import Server, Servers
from tallystick import Ledger

PROCESSES, THREADS, TASKS = 8, 8, 1_000


def cut_some(server: Server, chance: random.Random) -> None:
    """Cut a few connections, whatever they are at."""
    with server.connect() as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'tallystick' AND random() < %s",
            (chance.uniform(0.05, 0.5),),
        )


def restart(server: Server, chance: random.Random) -> None:
    """Stop it one way or another, leave it down for a moment, start it again."""
    if chance.random() < 0.5:
        server.kill()
    else:
        server.stop()
    time.sleep(chance.uniform(0, 0.5))
    server.start()


def test_a_storm(own_servers: Servers, tmp_path: Path, storm: bool) -> None:
    seed = random.randrange(1 << 20)
    chance = random.Random(seed)
    server = own_servers.create(settings={"max_connections": "300"})
    server.start()
    url = server.url("postgres")
    Ledger.open(url).close()
    outs: list[Path] = []

    def started() -> Appenders:
        outs.append(tmp_path / f"out{len(outs)}")
        return Appenders(url, outs[-1], seed * 1000 + len(outs), THREADS, TASKS)

    running = [started() for _ in range(PROCESSES)]
    for one in running:
        one.wait_until_ready()
    end = time.monotonic() + (100 if storm else 10)
    restarts = killed = 0
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 0.8))
        kind = chance.random()
        if kind < 0.4:
            victim = chance.randrange(PROCESSES)
            running[victim].kill()
            running[victim] = started()
            killed += 1
        elif kind < 0.75:
            cut_some(server, chance)
        else:
            restart(server, chance)
            restarts += 1
    restart(server, chance)
    before = len(acknowledged(outs))
    time.sleep(2)
    Appenders.stop(running)
    with Ledger.open(url) as ledger:
        found = check(ledger, outs)
    assert found["acknowledged"] > before, seed
    print(f"seed {seed}: {dict(found)}, {killed} clients killed, {restarts + 1} restarts")
