"""The project with two proved checks, prepared once and copied for each test."""

from __future__ import annotations

from pathlib import Path

import pytest
from gate_project import Project


@pytest.fixture(scope="session")
def project_template(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.prepare(tmp_path_factory.mktemp("template") / "project")


@pytest.fixture
def project(project_template: Project, tmp_path: Path) -> Project:
    return project_template.copy(tmp_path / "project")
