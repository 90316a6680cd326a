"""What ignore rules of this machine alone hide by: `info/exclude` and `core.excludesFile`."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from tallystick.workspace.git import Child, Git
    from tallystick.workspace.location import Location


class LocalIgnoreRules:
    """The ignore rules of one repository that are not part of its tree."""

    __slots__ = ("_asked", "_common_file", "_root", "_user_file")

    def __init__(self, location: Location) -> None:
        self._root = location.root
        self._common_file = os.path.join(location.common_dir, "info", "exclude")
        self._user_file: str | None = None
        self._asked: Child | None = None

    def ask(self, git: Git) -> None:
        """Starts to find out where the user's own rules lie, where that is not known yet."""
        if self._user_file is None and self._asked is None:
            self._asked = git.start("config", "--type=path", "--get", "core.excludesFile")

    def digest(self, git: Git) -> str:
        """Hex SHA-256 of the rules in the order git applies them, one a line; empty where there are none."""
        if self._user_file is None:
            self.ask(git)
            asked, self._asked = self._asked, None
            named = asked.result(ok=(0, 1)) if asked else b""
            path = os.fsdecode(named.removesuffix(b"\n"))
            self._user_file = os.path.join(self._root, path) if path else _default_user_file()
        rules = [*_rules(self._user_file), *_rules(self._common_file)]
        if not rules:
            return ""
        import hashlib

        return hashlib.sha256(b"".join(rule + b"\n" for rule in rules)).hexdigest()

    def close(self) -> None:
        """Gives up waiting for an answer that nobody fetched."""
        asked, self._asked = self._asked, None
        if asked:
            asked.discard()


def _default_user_file() -> str:
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(folder, "git", "ignore")


def _rules(path: str) -> list[bytes]:
    """The lines of a file that are rules; none where it cannot be read, as git has it."""
    try:
        with open(path, "rb") as file:
            lines = file.read().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError:
        return []
    return [line.rstrip(b"\r") for line in lines if line.strip() and not line.startswith(b"#")]
