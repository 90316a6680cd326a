"""Whether a command's exit code is that of what it runs, or was hidden on the way, decided from the command's text.

If pytest itself ends with 0, its tests passed, whatever some test of it printed. Behind a pipe, `|| true` or `;` nobody
saw how it ended. When in doubt it was hidden.
"""

from __future__ import annotations

import re

SHOWN = "shown"
"""The command ends as the runner did."""
UNKNOWN = "unknown"
"""A script, a makefile or a task decides: nothing in the text hides it, and nothing shows that it gets through."""
HIDDEN = "hidden"
"""Something in the text hides it."""
INVERTED = "inverted"
"""`!` makes a success of a failure, so that failures are what was wanted."""

_OPERATOR = re.compile(r"\|\||&&|\|&|;;|[;&|()\n]")
_REDIRECTION = re.compile(r"\d*(?:<<<|<>|>>|<&|>&|>\||[<>])|&>>?")
_KEYWORDS = frozenset(
    {"if", "then", "elif", "else", "fi", "while", "until", "for", "do", "done", "case", "esac", "select", "function"}
    | {"coproc", "[["}
)
_CONDITIONS = frozenset({"if", "elif", "while", "until"})
_SILENT = frozenset(
    {"cd", "export", "set", "unset", "umask", "ulimit", "shopt", "alias", "readonly", "mkdir", "rm", ":"}
)
"""Commands that print no results: whether they succeed tells nothing of tests."""

_WRAPPERS = frozenset(
    {"env", "time", "nice", "ionice", "nohup", "timeout", "stdbuf", "unbuffer", "exec", "command", "builtin", "sudo"}
    | {"xvfb-run", "npx", "bunx", "cross-env", "setarch", "faketime", "chronic"}
)
_RUNNING = {
    **dict.fromkeys(("uv", "poetry", "pipenv", "pdm", "hatch", "rye", "conda", "mamba"), ("run",)),
    **dict.fromkeys(("bundle", "npm"), ("exec", "x")),
    "pnpm": ("exec", "dlx"),
    "yarn": ("exec", "dlx"),
}
"""Commands that run another one behind one of these words."""

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "busybox", "eval", "source", "."})
_SCRIPTED = frozenset(
    {"make", "gmake", "just", "task", "rake", "invoke", "inv", "npm", "yarn", "pnpm", "lerna", "nx", "turbo", "lage"}
    | {"rush", "wireit", "moon", "tox", "nox", "doit", "xargs", "parallel", "docker", "podman", "docker-compose"}
    | {"ssh", "su", "watch", "entr", "script", "expect", "ant", "meson", "ninja", "mage", "earthly", "dagger", "act"}
)
_INTERPRETERS = re.compile(r"(?:python|pypy|ruby|perl|node|nodejs|php|deno|bun|tsx|ts-node|lua|Rscript)[\d.]*")
_OWN_RUNNERS = {"node": ("--test",), "nodejs": ("--test",), "deno": ("test",), "bun": ("test",)}
"""Interpreters that have a test runner, and the argument that starts it."""
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_DURATION = re.compile(r"\d+(?:\.\d+)?[smhd]?")
MAX_DEPTH = 8


class _UnclearError(Exception):
    """The text is not understood."""


class _Word:
    """A word of a command: its text without quotes, and what a reader has to know of it."""

    __slots__ = ("quoted", "substitutes", "text")

    def __init__(self) -> None:
        self.text = ""
        self.quoted = False
        self.substitutes = False
        """Whether another command's output is a part of it."""


def shown_exit(command: str) -> str:
    """What the exit code of the command tells of what it ran: `SHOWN`, `UNKNOWN`, `HIDDEN` or `INVERTED`.

    `command` is text for /bin/sh, or a list quoted for it.
    """
    return _judged(command, errexit=False, pipefail=False, depth=0)


def commands_in(command: str, depth: int = 0) -> list[tuple[str, str]]:
    """The name of each command in a shell text, with what its exit code is for, in order.

    That is the operator behind it (empty at the end), `!` if it is inverted, `if` for a condition. What `sh -c` is
    given counts in place of it, a command behind `env` and the like in place of that. Empty if the text is not clear.
    """
    try:
        items = [*_split(command), ";"]
    except _UnclearError:
        return []
    found: list[tuple[str, str]] = []
    words: list[_Word] = []
    use = ""
    for number, item in enumerate(items):
        if isinstance(item, _Word):
            if words or item.quoted or item.text not in ("!", "{", "}", *_KEYWORDS):
                words.append(item)
            elif item.text in _CONDITIONS or (item.text == "!" and not use):
                use = "!" if item.text == "!" else "if"
            continue
        operator, use = use or (item if number + 1 < len(items) else ""), ""
        while words and _ASSIGNMENT.match(words[0].text):
            words = words[1:]
        inner = _text_of_shell(words) if depth < MAX_DEPTH else ""
        nested = commands_in(inner, depth + 1) if inner else []
        if nested:
            found += [*nested[:-1], (nested[-1][0], operator)]
        elif words := _unwrapped(words):
            found.append((words[0].text, operator))
        words = []
    return found


def _text_of_shell(words: list[_Word]) -> str:
    """What a shell is given with `-c`; empty if the command is no such shell."""
    if not words or words[0].text.rpartition("/")[2] not in _SHELLS:
        return ""
    for at, word in enumerate(words[1:], 1):
        if word.text.startswith("-") and not word.text.startswith("--") and "c" in word.text:
            return next((later.text for later in words[at + 1 :] if not later.text.startswith("-")), "")
    return ""


def _judged(command: str, *, errexit: bool, pipefail: bool, depth: int) -> str:
    try:
        words = _split(command)
    except _UnclearError:
        return HIDDEN
    if depth > MAX_DEPTH:
        return HIDDEN
    return _Line(words, errexit, pipefail, depth).judged()


def _split(text: str) -> list[_Word | str]:
    """The words and operators of shell text. Raises _UnclearError for what has no end, and for here-documents."""
    found: list[_Word | str] = []
    at, word, target = 0, None, False
    while at < len(text):
        letter = text[at]
        if letter == "\\" and text[at + 1 : at + 2] == "\n":
            at += 2
        elif letter in " \t\r":
            word, at = None, at + 1
        elif letter == "#" and word is None:
            at = text.find("\n", at) if "\n" in text[at:] else len(text)
        elif redirection := _redirection(text, at, word):
            if redirection.startswith("<<") and redirection != "<<<":
                raise _UnclearError
            word, target, at = None, True, at + len(redirection)
        elif operator := _OPERATOR.match(text, at):
            found.append(";" if operator[0] == "\n" else operator[0])
            word, target, at = None, False, operator.end()
        else:
            if word is None:
                word = _Word()
                if not target:
                    found.append(word)
                target = False
            at = _letter(text, at, word)
    return found


def _redirection(text: str, at: int, word: _Word | None) -> str:
    """The redirection that stands here; a number before it is a part of it only if it begins a word."""
    match = _REDIRECTION.match(text, at)
    if match is None or (word is not None and match[0][0].isdigit()):
        return ""
    return match[0]


def _letter(text: str, at: int, word: _Word) -> int:
    """Take a letter, a quotation or a substitution into the word: where the text goes on."""
    letter = text[at]
    if letter == "\\":
        word.text += text[at + 1 : at + 2]
        word.quoted = True
        return at + 2
    if letter == "'":
        end = _after(text, "'", at + 1)
        word.text += text[at + 1 : end - 1]
        word.quoted = True
        return end
    if letter == '"':
        word.quoted = True
        at += 1
        while text[at : at + 1] != '"':
            if at >= len(text):
                raise _UnclearError
            at = _letter(text, at, word) if text[at] in "\\$`" else at + _plain(text[at], word)
        return at + 1
    if letter == "`":
        word.substitutes = True
        return _after(text, "`", at + 1)
    if text.startswith("$(", at):
        word.substitutes = True
        return _after_brackets(text, at + 2)
    return at + _plain(letter, word)


def _plain(letter: str, word: _Word) -> int:
    word.text += letter
    return 1


def _after(text: str, mark: str, at: int) -> int:
    end = text.find(mark, at)
    if end < 0:
        raise _UnclearError
    return end + 1


def _after_brackets(text: str, at: int) -> int:
    depth = 1
    while depth:
        if at >= len(text):
            raise _UnclearError
        if text[at] in "'\"" and (end := text.find(text[at], at + 1)) >= 0:
            at = end
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return at


class _Line:
    """The commands of a line of shell text, and what joins them."""

    def __init__(self, items: list[_Word | str], errexit: bool, pipefail: bool, depth: int) -> None:
        self.items = items
        self.errexit = errexit
        self.pipefail = pipefail
        self.depth = depth
        self.found: set[str] = set()
        self.chained = False
        """Whether a command that prints results stands before `&&`: `set -e` does not end the line for it."""

    def judged(self) -> str:
        """What its exit code tells."""
        at = 0
        while at < len(self.items):
            at = self._command(at)
        for answer in (HIDDEN, INVERTED, UNKNOWN):
            if answer in self.found:
                return answer
        return SHOWN if SHOWN in self.found else UNKNOWN

    def _command(self, at: int) -> int:
        """Take one command, and the operator behind it."""
        words: list[_Word] = []
        inverted = False
        while at < len(self.items) and isinstance(item := self.items[at], _Word):
            if not words and not item.quoted and item.text in ("!", "{", "}"):
                inverted = inverted or item.text == "!"
            else:
                words.append(item)
            at += 1
        if inverted:
            self.found.add(INVERTED)
        silent = self._take(words)
        operator = self.items[at] if at < len(self.items) else ""
        if operator in ("(", ")", "") or not self._follows(at + 1):
            self.found |= {HIDDEN} if operator in ("&", "|") else set()
            return at + 1
        if operator == "||" and (end := self._fails_after(at + 1)):
            return end
        hides = operator in ("||", "&", ";;") or (operator in ("|", "|&") and not self.pipefail)
        if operator == ";":
            hides = not silent and (inverted or self.chained or not self.errexit)
        if hides:
            self.found.add(HIDDEN)
        joins = operator in ("&&", "||", "|", "|&")
        self.chained = joins and (self.chained or (not silent and operator in ("&&", "||")))
        return at + 1

    def _take(self, words: list[_Word]) -> bool:
        """Judge one command: whether it prints no results."""
        while words and _ASSIGNMENT.match(words[0].text) and not words[0].substitutes:
            words = words[1:]
        if not words:
            return True
        name = words[0].text
        if name == "set":
            settings = " ".join(word.text for word in words[1:])
            self.errexit = self.errexit or re.search(r"(?:^| )-[a-z]*e|errexit", settings) is not None
            self.pipefail = self.pipefail or "pipefail" in settings
        if name in _SILENT and not words[0].quoted:
            return True
        self.found.add(HIDDEN if name in _KEYWORDS and not words[0].quoted else _program(words, self.depth))
        return False

    def _follows(self, at: int) -> bool:
        """Whether another command follows."""
        return any(isinstance(item, _Word) and item.text != "}" for item in self.items[at:])

    def _fails_after(self, at: int) -> int:
        """Where the line goes on if what stands here, behind `||`, ends the command as failed; 0 if it does not."""
        words: list[str] = []
        group = at < len(self.items) and (self.items[at] == "(" or _is(self.items[at], "{"))
        while at < len(self.items):
            item = self.items[at]
            if isinstance(item, _Word) and item.text != "}":
                words.append(item.text)
            elif group and item == ";":
                words = [] if self._more_in_group(at + 1) else words
            elif (not group and item in ("&&", ";", ")")) or _is(item, "}") or item == ")":
                break
            elif item != "(":
                return 0
            at += 1
        ends = [word for word in words if word != "{"]
        fails = ends[:1] == ["false"] or (ends[:1] in (["exit"], ["return"]) and ends[1:] != ["0"])
        return at + 1 if fails else 0

    def _more_in_group(self, at: int) -> bool:
        return at < len(self.items) and isinstance(self.items[at], _Word) and not _is(self.items[at], "}")


def _is(item: _Word | str, text: str) -> bool:
    return isinstance(item, _Word) and item.text == text and not item.quoted


def _program(words: list[_Word], depth: int) -> str:
    """What the exit code of one command tells."""
    words = _unwrapped(words)
    if not words:
        return UNKNOWN
    path, arguments = words[0].text, [word.text for word in words[1:]]
    name = path.rpartition("/")[2]
    if name in ("echo", "printf") and any(word.substitutes for word in words):
        return HIDDEN
    if _ASSIGNMENT.match(path):
        return HIDDEN
    if name in _SHELLS:
        return _shell(name, words[1:], depth)
    if _hides_itself(name, arguments):
        return HIDDEN
    if _INTERPRETERS.fullmatch(name):
        return _interpreter(name, words[1:], depth)
    if name in _SCRIPTED or words[0].substitutes or path.startswith("$"):
        return UNKNOWN
    installed = re.fullmatch(r"/.*|.+/\.?s?bin/[^/]+|(?:\./)?(?:gradlew|mvnw)", path)
    return SHOWN if "/" not in path or installed else UNKNOWN


def _hides_itself(name: str, arguments: list[str]) -> bool:
    """Whether the command ends well although what it runs did not."""
    if name == "find":
        return not {"-exec", "-execdir", "-ok", "-okdir"}.isdisjoint(arguments) and "+" not in arguments
    if name == "script":
        return not any(re.fullmatch(r"-[a-z]*e[a-z]*|--return", argument) for argument in arguments)
    if name in ("make", "gmake"):
        return any(re.fullmatch(r"-[a-zA-Z]*i[a-zA-Z]*|--ignore-errors", argument) for argument in arguments)
    return name in ("pnpm", "lerna") and "--no-bail" in arguments


def _unwrapped(words: list[_Word]) -> list[_Word]:
    """The command behind those that only run it: `env A=1 timeout 60 uv run pytest` is `pytest`."""
    while words:
        name = words[0].text.rpartition("/")[2]
        behind = _RUNNING.get(name)
        if behind is not None:
            at = next((at for at, word in enumerate(words) if at and word.text in behind), 0)
            if not at:
                return words
            words = words[at:]
        elif name not in _WRAPPERS:
            return words
        words = words[1:]
        while words and (
            words[0].text.startswith("-") or _ASSIGNMENT.match(words[0].text) or _DURATION.fullmatch(words[0].text)
        ):
            words = words[1:]
    return words


def _shell(name: str, words: list[_Word], depth: int) -> str:
    """A shell that is given text with `-c`, or runs a script."""
    if name == "eval":
        return _judged(" ".join(word.text for word in words), errexit=False, pipefail=False, depth=depth + 1)
    errexit = pipefail = False
    for at, word in enumerate(words):
        if not word.text.startswith(("-", "+")) and not (at and words[at - 1].text.endswith("o")):
            return UNKNOWN
        options = word.text.startswith("-") and not word.text.startswith("--")
        errexit = errexit or (options and "e" in word.text) or word.text == "errexit"
        pipefail = pipefail or word.text == "pipefail"
        if options and "c" in word.text:
            text = next((later.text for later in words[at + 1 :] if not later.text.startswith("-")), "")
            return _judged(text, errexit=errexit, pipefail=pipefail, depth=depth + 1)
    return UNKNOWN


def _interpreter(name: str, words: list[_Word], depth: int) -> str:
    """An interpreter: a module or a runner of its own that it starts, or a script, which may do anything."""
    arguments = [word.text for word in words]
    if any(argument in _OWN_RUNNERS.get(name, ()) for argument in arguments):
        return SHOWN
    for at, argument in enumerate(arguments):
        if argument == "-m" and name.startswith(("python", "pypy")) and words[at + 1 :]:
            return _program(words[at + 1 :], depth)
        if not argument.startswith("-"):
            installed = re.fullmatch(r".+/(?:vendor|node_modules)?/?\.?bin/[^/]+", argument)
            return SHOWN if installed or "/node_modules/" in argument else UNKNOWN
    return UNKNOWN
