"""Shared fixtures and options: isolation, `--storm`, hypothesis profiles, a git repository, the command."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from support.command import Notch
from support.environment import GIT_CONFIG, isolated
from support.repository import GitRepo

settings.register_profile(
    "ci", deadline=None, max_examples=60, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("storm", parent=settings.get_profile("ci"), max_examples=5_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--storm", action="store_true", help="run the long storms too, and more examples")


def pytest_configure(config: pytest.Config) -> None:
    # A script's background job and nohup start us with signals ignored, and every process of a test would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if not config.getoption("--hypothesis-profile", default=None):
        settings.load_profile("storm" if config.getoption("--storm") else "ci")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Files without a `serial` test are not even read where only those are asked for."""
    if config.option.markexpr != "serial" or collection_path.suffix != ".py":
        return None
    return b"mark.serial" not in collection_path.read_bytes() or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # a file stays with one worker: those of few tests, which are slow, come first
        sizes = Counter(item.path for item in items)
        items.sort(key=lambda item: sizes[item.path])
    if not config.getoption("--storm"):
        skip = pytest.mark.skip(reason="a long storm: --storm runs it")
        for item in items:
            if item.get_closest_marker("storm"):
                item.add_marker(skip)


@pytest.fixture(scope="session")
def storm(request: pytest.FixtureRequest) -> bool:
    """True where `--storm` was given: a test may then run longer."""
    return bool(request.config.getoption("--storm"))


@pytest.fixture(scope="session", autouse=True)
def _isolated_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Isolation for fixtures that outlive a test; the folder that holds git's configuration."""
    folder = tmp_path_factory.mktemp("isolated")
    (folder / "gitconfig").write_text(GIT_CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        _enter(patch, folder / "home", folder)
        yield folder


@pytest.fixture(autouse=True)
def home(_isolated_session: Path) -> Iterator[Path]:
    """An empty home of the test's own, in an environment that nothing reaches from outside."""
    folder = Path(tempfile.mkdtemp(prefix="home-", dir=_isolated_session))
    with pytest.MonkeyPatch.context() as patch:
        _enter(patch, folder, _isolated_session)
        yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _enter(patch: pytest.MonkeyPatch, home: Path, folder: Path) -> None:
    home.mkdir(exist_ok=True)
    wanted = isolated(os.environ, home=home, git_config=folder / "gitconfig")
    for name in set(os.environ) - set(wanted):
        patch.delenv(name)
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            patch.setenv(name, value)


@pytest.fixture
def git_repo(tmp_path: Path) -> GitRepo:
    """An empty git repository in `tmp_path/repo`, without a commit."""
    return GitRepo.create(tmp_path / "repo")


@pytest.fixture
def notch(request: pytest.FixtureRequest, tmp_path: Path) -> Notch:
    """Runs the real `notch`: in the `git_repo` of the same test where it has one, else in `tmp_path`."""
    if "git_repo" in request.fixturenames:
        repo: GitRepo = request.getfixturevalue("git_repo")
        return Notch(repo.root)
    return Notch(tmp_path)


@pytest.fixture
def run_notch(notch: Notch) -> Notch:
    """The same as `notch`."""
    return notch
