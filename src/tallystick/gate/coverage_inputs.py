"""A criterion's inputs as coverage data has them: the files whose code ran for it.

Coverage sees Python code alone. What is only read (data, templates), and constants of a module that was imported
before, are for a person to add: the proposal names such modules.
"""

from __future__ import annotations

import os

from tallystick.errors import InputError
from tallystick.gate.toml_text import key, string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

SETTINGS = ("pyproject.toml", "pytest.ini", "pytest.toml", "tox.ini", "setup.cfg")
"""Files that decide how tests run, where they are there."""
IMPORTED_NAMED = 20
_SEPARATOR = "\0"
_PREFIX = "notch:"
_SPECIAL = "*?[\\"


class CoverageInputs:
    """Measures from now on which files' code runs, with coverage.py; where that measures already, along with it."""

    def __init__(self, root: str) -> None:
        """`root`: the folder that counts. Raises InputError where coverage.py is not installed."""
        try:
            from coverage import Coverage
        except ImportError:
            raise InputError("coverage.py is not installed", advice="pip install coverage") from None
        self._root = os.path.realpath(root)
        self._tests: dict[str, set[str]] = {}
        running: Any = Coverage.current()
        self._own = running is None
        self._coverage: Any = running
        if self._own:
            self._coverage = Coverage(data_file=None, config_file=False, source=[self._root])
            self._coverage.set_option("run:core", "ctrace")
            self._coverage.start()

    def begin(self, criteria: Sequence[str], path: str) -> None:
        """From now on code runs for these criteria, by a test in the file of that path."""
        for name in criteria:
            self._tests.setdefault(name, set()).add(path)
        self._coverage.switch_context(_PREFIX + _SEPARATOR.join(criteria))

    def end(self) -> None:
        """From now on it does not."""
        self._coverage.switch_context("")

    def proposal(self) -> Iterator[str]:
        """The inputs of each criterion, as lines for the plan."""
        if self._own:
            self._coverage.stop()
        data = self._coverage.get_data()
        measured = {file: data.contexts_by_lineno(file) for file in data.measured_files()}
        if not self._tests:
            yield '# no test that ran is marked with a criterion: @pytest.mark.criterion("…")'
        for name, tests in sorted(self._tests.items()):
            ran = {file for file, lines in measured.items() if _ran_for(name, lines.values())}
            inputs = sorted(self._inside({*ran, *tests, *self._settings(tests)}))
            imported = sorted(set(self._inside(measured)) - set(inputs))
            yield f"[criteria.{key(name)}]"
            yield "inputs = ["
            yield from (f"  {string(_literal(path))}," for path in inputs)
            yield "]"
            if imported:
                more = f" and {len(imported) - IMPORTED_NAMED} more" if len(imported) > IMPORTED_NAMED else ""
                yield f"# imported only, so add what it depends on: {', '.join(imported[:IMPORTED_NAMED])}{more}"

    def _settings(self, tests: Iterable[str]) -> Iterator[str]:
        """What decides how these tests run: settings at the root, every `conftest.py` on the way to them."""
        candidates = {os.path.join(self._root, name) for name in SETTINGS}
        for test in tests:
            folder = os.path.dirname(os.path.realpath(test))
            while folder.startswith(self._root):
                candidates.add(os.path.join(folder, "conftest.py"))
                folder = os.path.dirname(folder)
        return (path for path in candidates if os.path.isfile(path))

    def _inside(self, files: Iterable[str]) -> Iterator[str]:
        """The files below the root, as paths from there."""
        for file in files:
            path = os.path.relpath(os.path.realpath(file), self._root)
            if not path.startswith(os.pardir):
                yield path.replace(os.sep, "/")


def _ran_for(name: str, contexts: Iterable[Sequence[str]]) -> bool:
    return any(
        name in context.removeprefix(_PREFIX).split(_SEPARATOR)
        for line in contexts
        for context in line
        if context.startswith(_PREFIX)
    )


def _literal(path: str) -> str:
    """A pathspec that matches this file alone."""
    return "".join(f"\\{char}" if char in _SPECIAL else char for char in path)
