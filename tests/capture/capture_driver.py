"""A program that runs one command through `run_process`: `capture_driver.py RESULT OPTIONS`.

OPTIONS is JSON: `argv` and what `run_process` takes. How the command ended goes to RESULT as JSON, with the
kept output as Latin-1 text (unless it is very long) and the seconds of CPU that this process used. The exit
code is the command's.
"""

from __future__ import annotations

import json
import os
import resource
import sys

from tallystick.capture.process import run_process


def main(result: str, options: str) -> int:
    given = json.loads(options)
    finished = run_process(given.pop("argv"), **given)
    told = {name: getattr(finished, name) for name in finished.__slots__ if name not in ("output", "undelivered")}
    told["undelivered"] = finished.undelivered and finished.undelivered.errno
    kept = finished.output.kept()
    told["output"] = kept.decode("latin-1") if len(kept) < 1_000_000 else None
    told["kept"], told["size"] = len(kept), finished.output.size
    usage = resource.getrusage(resource.RUSAGE_SELF)
    told["cpu"] = usage.ru_utime + usage.ru_stime
    with open(result + ".new", "w") as file:
        json.dump(told, file)
    os.rename(result + ".new", result)
    return finished.exit_code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
