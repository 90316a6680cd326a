"""Installs what the benchmarks compare with, one by one: whatever cannot be installed here is left out."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path


def main() -> int:
    groups = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    for requirement in groups["dependency-groups"]["bench"]:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
        if subprocess.run(pip, check=False).returncode:
            print(f"{requirement} cannot be installed here: nothing is compared with it", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
