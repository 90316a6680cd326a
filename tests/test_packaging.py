"""What is built is what a user gets: the archives are built, installed into a fresh environment and used."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest
from readme_renderer import markdown

from support.environment import ORIGINAL

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]

pytestmark = pytest.mark.timeout(600)


def run(*command: str | Path, cwd: Path) -> str:
    """What a command printed; it sees the package index settings and caches that pytest was started with."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env={**ORIGINAL, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}:\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist of this checkout, and the wheel that is built from that sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(archives: Path) -> Path:
    return next(archives.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(archives: Path) -> Path:
    return next(archives.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts folder of a fresh virtual environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    scripts = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    run(scripts / "python", "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    return scripts


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_archives_are_named_after_the_version(wheel: Path, sdist: Path) -> None:
    assert wheel.name == f"tallystick-{VERSION}-py3-none-any.whl"
    assert sdist.name == f"tallystick-{VERSION}.tar.gz"


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    source = ROOT / "src"
    wanted = {
        path.relative_to(source).as_posix()
        for path in (source / "tallystick").rglob("*")
        if path.is_file() and path.suffix not in {".pyc", ".pyo"}
    }
    assert "tallystick/py.typed" in wanted
    assert set(names) == wanted


def test_the_sdist_holds_what_is_needed_to_test_and_document(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {
        "LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile",
        "pyproject.toml", "docs/conf.py", "docs/index.md", "scripts/test", "tests/conftest.py",
        "tests/test_packaging.py", "tests/support/command.py", "src/tallystick/errors.py",
    }  # fmt: skip
    assert not {name for name in names if name.startswith((".venv", ".git/", "dist", "docs/_build"))}


def test_the_metadata_says_what_is_needed(wheel: Path) -> None:
    said = metadata(wheel)
    assert said["License-Expression"] == "Apache-2.0"
    assert said["License-File"] == "LICENSE"
    assert said["Requires-Python"] == ">=3.11"
    needed = [text for text in said.get_all("Requires-Dist", []) if "extra ==" not in text]
    assert sorted(re.split(r"[<>=!~]", text)[0] for text in needed) == sorted(
        re.split(r"[<>=!~]", text)[0] for text in PROJECT["dependencies"]
    )


def test_the_licence_is_whole(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith("licenses/LICENSE"))
        text = archive.read(name).decode()
    assert text == (ROOT / "LICENSE").read_text("utf-8")
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_the_readme_renders_on_the_package_page(wheel: Path) -> None:
    said = metadata(wheel)
    assert said["Description-Content-Type"] == "text/markdown"
    description = said.get_payload()
    assert isinstance(description, str)
    page = markdown.render(description)
    assert page is not None
    assert re.search(r"<h1[^>]*>tallystick<", page)
    assert page.count("<pre") == description.count("\n```") // 2
    assert "test-setup" not in page
    assert "git init" not in page


def test_the_command_runs_where_the_wheel_is_installed(installed: Path, tmp_path: Path) -> None:
    assert VERSION in run(installed / "notch", "--version", cwd=tmp_path)
    assert VERSION in run(installed / "python", "-m", "tallystick", "--version", cwd=tmp_path)


def test_every_module_imports_with_the_core_dependencies_alone(installed: Path, tmp_path: Path) -> None:
    """No module needs, at import, what only an extra or a test brings."""
    code = (
        "import importlib, pkgutil, tallystick\n"
        "for module in pkgutil.walk_packages(tallystick.__path__, 'tallystick.'):\n"
        "    if module.name.rpartition('.')[2].partition('_')[0] not in OPTIONAL:\n"
        "        importlib.import_module(module.name)\n"
    )
    optional = {"", "postgres", "pytest", "mcp"}
    run(installed / "python", "-c", f"OPTIONAL = {optional!r}\n{code}", cwd=tmp_path)


def test_what_is_installed_is_consistent(installed: Path, tmp_path: Path) -> None:
    run(installed / "python", "-m", "pip", "check", cwd=tmp_path)
