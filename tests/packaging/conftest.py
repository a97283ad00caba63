"""The archives, built once, and the package as it is installed, with and without its extras."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.installed import Archives, Installation, build, unpack, with_base_alone, with_everything


@pytest.fixture(scope="package")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """The sdist and the wheel."""
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="package")
def unpacked(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the wheel's files. One for all: each module is compiled once."""
    return unpack(archives.wheel, tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="package")
def base(unpacked: Path) -> Installation:
    """The package with its base dependencies alone."""
    return with_base_alone(unpacked)


@pytest.fixture(scope="package")
def everything(unpacked: Path) -> Installation:
    """The package beside all that its extras bring."""
    return with_everything(unpacked)
