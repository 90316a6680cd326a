"""Completion scripts for shells. Names that come from a ledger are data in all of them, never expanded."""

from __future__ import annotations

from tallystick.cli.completion import CRITERIA, FILES, TASKS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tallystick.cli.completion import Offered, Taken

_BASH_HEAD = """\
# notch: completion for bash. eval "$(notch completion bash)"
_notch_words() { # those of the given words that begin with what is typed
    local word
    for word in "$@"; do [[ $word == "$cur"* ]] && COMPREPLY+=("$word"); done
}
_notch_names() { # the same for names from the ledger or the plan, quoted so that they stay what they are
    local name
    while IFS= read -r name; do
        [[ $name == "$cur"* ]] && COMPREPLY+=("$(printf %q "$name")")
    done < <(notch completion "$1" 2>/dev/null)
}
_notch() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command= place=0 number word
    local skip= literal=
    COMPREPLY=()
    for ((number = 1; number < COMP_CWORD; number++)); do
        word=${COMP_WORDS[number]}
        if [[ $skip ]]; then skip=; continue; fi
        if [[ $word == -- && $command ]]; then literal=yes; break; fi
        if [[ $word == -* ]]; then
            _notch_takes_value "$command" "$word" && skip=yes
        elif [[ ! $command ]]; then
            command=$word
        else
            place=$((place + 1))
        fi
    done
    if [[ $literal ]]; then
        [[ $prev == -- ]] && COMPREPLY=($(compgen -c -- "$cur"))
        return
    fi"""

_BASH_TAIL = """\
}
complete -o default -F _notch notch"""


def bash(commands: Sequence[Offered]) -> Iterator[str]:
    """The script for bash 3.2 or later, line by line."""
    yield "_notch_takes_value() {"
    yield '    case "$1:$2" in'
    yield f"    {'|'.join(['*:--ledger', *_bash_valued(commands)])}) return 0 ;;"
    yield "    esac"
    yield "    return 1"
    yield "}"
    yield _BASH_HEAD
    yield '    case "$command:$prev" in'
    yield "    *:--ledger) return ;;"
    for command in commands:
        for option in command.options:
            if option.valued and "--ledger" not in option.flags:
                yield f"    {'|'.join(f'{command.name}:{flag}' for flag in option.flags)}) {_bash(option)}return ;;"
    yield "    esac"
    yield "    if [[ ! $command ]]; then"
    yield f"        _notch_words {' '.join([*(one.name for one in commands), '--help', '--version', '--ledger'])}"
    yield "        return"
    yield "    fi"
    yield "    if [[ $cur == -* ]]; then"
    yield '        case "$command" in'
    for command in commands:
        yield f"        {command.name}) _notch_words {' '.join(f for one in command.options for f in one.flags)} ;;"
    yield "        esac"
    yield "        return"
    yield "    fi"
    yield '    case "$command:$place" in'
    for command in commands:
        for place, argument in enumerate(command.arguments):
            if offer := _bash(argument):
                yield f"    {command.name}:{'*' if argument.many else place}) {offer};;"
    yield "    esac"
    yield _BASH_TAIL


def _bash_valued(commands: Sequence[Offered]) -> Iterator[str]:
    for command in commands:
        for option in command.options:
            if option.valued:
                yield from (f"{command.name}:{flag}" for flag in option.flags)


def _bash(one: Taken) -> str:
    """What offers its values; nothing for files, which bash offers by itself."""
    if one.words:
        return f"_notch_words {' '.join(one.words)}; "
    return f"_notch_names {one.kind}; " if one.kind in (TASKS, CRITERIA) else ""


_ZSH_HEAD = """\
#compdef notch
# notch: completion for zsh. notch completion zsh > a folder of $fpath/_notch
_notch_names() {
    local -a found
    found=(${(f)"$(notch completion $1 2>/dev/null)"})
    compadd -a found
}
_notch_tasks() { _notch_names tasks }
_notch_criteria() { _notch_names criteria }
_notch() {
    local curcontext="$curcontext" state line
    local -a commands
    _arguments -C '--ledger[the ledger]:url:_files' '--version[the version]' '--help[what there is]' \\
        '1:command:->command' '*::argument:->arguments'
    case $state in
    command)"""

_ZSH_TAIL = """\
        esac ;;
    esac
}
if [ "$funcstack[1]" = _notch ]; then _notch "$@"; else compdef _notch notch; fi"""


def zsh(commands: Sequence[Offered]) -> Iterator[str]:
    """The script for zsh, line by line."""
    yield _ZSH_HEAD
    yield "        commands=("
    yield from (f"            {_quoted(f'{one.name}:{one.summary}')}" for one in commands)
    yield "        )"
    yield "        _describe -t commands command commands ;;"
    yield "    arguments)"
    yield "        case $words[1] in"
    for command in commands:
        specs = [spec for option in command.options for spec in _zsh_option(option)]
        specs += [_zsh_argument(place, one) for place, one in enumerate(command.arguments, 1)]
        yield f"        {command.name}) _arguments -S {' '.join(specs)} ;;"
    yield _ZSH_TAIL


def _zsh_option(option: Taken) -> Iterator[str]:
    for flag in option.flags:
        others = f"({' '.join(option.flags)})" if len(option.flags) > 1 else ""
        value = f":{_zsh_text(option.metavar)}:{_zsh(option)}" if option.valued else ""
        yield _quoted(f"{others}{flag}[{_zsh_text(option.help)}]{value}")


def _zsh_argument(place: int, argument: Taken) -> str:
    where = "*" if argument.many else str(place)
    return _quoted(f"{where}:{_zsh_text(argument.metavar)}:{_zsh(argument)}")


def _zsh(one: Taken) -> str:
    if one.words:
        return f"({' '.join(one.words)})"
    return {TASKS: "_notch_tasks", CRITERIA: "_notch_criteria", FILES: "_files"}.get(
        one.kind, "_files" if one.many else " "
    )


def _zsh_text(words: str) -> str:
    return "".join(f"\\{char}" if char in "[]:\\" else char for char in words)


def fish(commands: Sequence[Offered]) -> Iterator[str]:
    """The script for fish, line by line."""
    yield "# notch: completion for fish. notch completion fish > ~/.config/fish/completions/notch.fish"
    yield "complete -c notch -f"
    yield f"complete -c notch -l ledger -r -F -d {_fish_quoted('the ledger: a path or a URL')}"
    for command in commands:
        yield f"complete -c notch -n __fish_use_subcommand -a {command.name} -d {_fish_quoted(command.summary)}"
    for command in commands:
        here = f"complete -c notch -n '__fish_seen_subcommand_from {command.name}'"
        for option in command.options:
            if "--ledger" not in option.flags:
                flags = " ".join(
                    f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags
                )
                value = f" {_fish(option)}" if option.valued else ""
                yield f"{here} {flags}{value} -d {_fish_quoted(option.help)}"
        for argument in command.arguments:
            if argument.words or argument.kind or argument.many:
                yield f"{here} {_fish(argument).replace('-x', '-f', 1).replace('-r ', '', 1)}"


def _fish(one: Taken) -> str:
    """How its values are offered: `-x` takes one and offers no files, `-r -F` takes one and offers files."""
    if one.words:
        return f"-x -a {_fish_quoted(' '.join(one.words))}"
    if one.kind in (TASKS, CRITERIA):
        return f"-x -a '(notch completion {one.kind} 2>/dev/null)'"
    return "-r -F" if one.kind == FILES or one.many else "-x"


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "'\\''") + "'"


def _fish_quoted(words: str) -> str:
    return "'" + words.replace("\\", "\\\\").replace("'", "\\'") + "'"
