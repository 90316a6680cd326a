"""The harness that runs documentation notices what it is there to notice."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from support.console import PageError, PageRun, blocks, matches, parse


def run_page(folder: Path, page: str) -> None:
    (folder / "page").mkdir()
    (folder / "state").mkdir()
    run = PageRun(folder / "page", folder / "state", os.environ)
    for step in parse(textwrap.dedent(page)):
        run.step(step)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ([], ""),
        (["one"], "one\n"),
        (["one"], "one"),
        (["one  ", ""], "one\n\n"),
        (["took … ms"], "took 12.5 ms\n"),
        (["root …"], "root 3f\n"),
        (["…"], "anything\nat\nall\n"),
        (["…"], ""),
        (["first", "…", "last"], "first\nlast\n"),
        (["first", "…", "last"], "first\nx\ny\nlast\n"),
        (["a.b (c)"], "a.b (c)\n"),
    ],
)
def test_matching_output(shown: list[str], printed: str) -> None:
    assert matches(shown, printed)


@pytest.mark.parametrize(
    ("shown", "printed"),
    [
        ([], "something\n"),
        (["one"], ""),
        (["one"], "one\ntwo\n"),
        (["one", "two"], "one\n"),
        (["took … ms"], "took 1\n2 ms\n"),
        (["first", "…", "last"], "first\nx\n"),
        (["a.b"], "axb\n"),
        (["  indented"], "indented\n"),
    ],
)
def test_other_output_does_not_match(shown: list[str], printed: str) -> None:
    assert not matches(shown, printed)


def test_a_page_runs_as_one_session(tmp_path: Path) -> None:
    run_page(
        tmp_path,
        """
        <!-- test-setup:
        printf 'ready\\n' > notes
        -->
        Look:

        ```console
        $ cat notes
        ready
        $ mkdir inner && cd inner
        $ export COLOUR=blue
        ```

        <!-- test: file deep/plan.toml -->
        ```toml
        [criteria.tests]
        ```

        1. In a list, with a here-document:

           ```console
           $ echo "$COLOUR $(basename "$PWD")"; cat deep/plan.toml
           blue inner
           [criteria.tests]
           $ cat <<END
           > two
           > lines
           > END
           two
           …
           ```

        <!-- test: run -->
        ```python
        from pathlib import Path

        assert Path("deep/plan.toml").exists()
        ```

        <!-- test: exit 3 -->
        ```console
        $ true
        $ echo no >&2; exit 3
        no
        ```
        """,
    )


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```console\n$ echo a\nb\n```", "line 2: .*\nthe page shows:\nb\nit printed:\na"),
        ("```console\n$ false\n```", "exit 1, not 0"),
        ("<!-- test: exit 1 -->\n```console\n$ true\n```", "exit 0, not 1"),
        ("<!-- test: exit 1 -->\n```console\n$ false\n$ false\n```", "line 3: .*\nexit 1, not 0"),
        ("<!-- test: run -->\n```python\nassert False\n```", "AssertionError"),
        ("<!-- test-setup: false -->", "setup ended with exit 1"),
    ],
)
def test_a_page_that_is_wrong_fails(tmp_path: Path, page: str, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        run_page(tmp_path, page)


@pytest.mark.parametrize(
    "page",
    [
        "```console\necho no prompt\n```",
        "```console\n```",
        "```console\n$ true",
        "<!-- test: exit 1 -->\nno block",
        "<!-- test: exit 1 -->\n<!-- test-setup: true -->\n```console\n$ true\n```",
        "<!-- test: run -->\n```toml\n```",
        "<!-- test: sometimes -->\n```console\n$ true\n```",
    ],
)
def test_a_page_not_in_the_notation_is_refused(page: str) -> None:
    with pytest.raises(PageError):
        parse(page)


def test_blocks_inside_directives_are_found() -> None:
    page = "x\n````{note}\n```console\n$ true\n```\n````\n```{include} y.md\n```\n```sh\nmake\n```\n"
    found = [(block.line, block.language) for block in blocks(page)]
    assert found == [(2, "{note}"), (3, "console"), (7, "{include}"), (9, "sh")]
    assert [step.line for step in parse(page)] == [3]
