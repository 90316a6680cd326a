"""The targets of a Makefile, as far as they can be seen without running make."""

from __future__ import annotations

import re

_RULE = re.compile(r"^([A-Za-z0-9_./-]+(?:[ \t]+[A-Za-z0-9_./-]+)*)[ \t]*::?(?!=)([^#=\n]*)", re.MULTILINE)
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")
"""The names make looks for, in its order."""


class Makefile:
    """Rules by target."""

    __slots__ = ("needs", "phony", "recipes")

    def __init__(self, text: str) -> None:
        self.needs: dict[str, list[str]] = {}
        self.recipes: dict[str, str] = {}
        self.phony: set[str] = set()
        text = text.replace("\r\n", "\n").replace("\\\n", " ")
        rules = list(_RULE.finditer(text))
        ends = [*(rule.start() for rule in rules[1:]), len(text)]
        for rule, end in zip(rules, ends, strict=False):
            needs, _, inline = rule[2].partition(";")
            body = text[rule.end() : end]
            recipe = "\n".join([inline, *(line for line in body.split("\n") if line.startswith("\t"))])
            for target in rule[1].split():
                if target == ".PHONY":
                    self.phony.update(needs.split())
                self.needs[target] = self.needs.get(target, []) + needs.split()
                self.recipes[target] = self.recipes.get(target, "") + recipe

    def reached(self, target: str) -> dict[str, str]:
        """The recipes of a target and of all that it needs, by target."""
        found: dict[str, str] = {}
        waiting = [target]
        while waiting:
            name = waiting.pop()
            if name in self.recipes and name not in found:
                found[name] = self.recipes[name]
                waiting += [*self.needs[name], *re.findall(r"\$\(MAKE\)[ \t]+([A-Za-z0-9_.-]+)", self.recipes[name])]
        return found
