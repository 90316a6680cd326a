"""One table of ratios: `make bench`, or `make bench ARGS='--quick append replay'`.

Each figure is the median of interleaved rounds over a peer in the same run. A figure that misses its target says so.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from measure import Figure, machine

SECTIONS = ("append", "replay", "startup", "gate", "check", "proof", "postgres")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(present()))
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    parser.add_argument("--json", metavar="FILE", help="keep the figures there")
    options = parser.parse_args()
    found: list[Figure] = []
    print(machine())
    for name in options.sections or present():
        began = time.monotonic()
        for figure in importlib.import_module(f"bench_{name}").figures(0.1 if options.quick else 1.0):
            found.append(figure)
            show(figure)
        print(f"  ({name}: {time.monotonic() - began:.0f} s)", file=sys.stderr)
    if options.json:
        Path(options.json).write_text(json.dumps([vars(figure) for figure in found], indent=1), encoding="utf-8")
    missed = [figure for figure in found if figure.holds is False]
    print(f"{len(found)} figures, {len(missed)} beside their target")
    return 0


def present() -> list[str]:
    """The sections that there are."""
    here = Path(__file__).parent
    return [name for name in SECTIONS if (here / f"bench_{name}.py").exists()]


def show(figure: Figure) -> None:
    """Print one row."""
    mark = {True: "ok", False: "MISSED", None: ""}[figure.holds]
    spread = f"{min(figure.rounds):.2f}–{max(figure.rounds):.2f}" if len(figure.rounds) > 1 else ""
    print(
        f"{figure.what:<76} {figure.ratio:8.2f}  {figure.target:<8} {mark:<7} {spread:<12} {figure.detail}", flush=True
    )


if __name__ == "__main__":
    sys.exit(main())
