"""The suite is spread over several workers, and the longest waits begin first."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import WAIT_LONGEST


@pytest.mark.parametrize("path", WAIT_LONGEST)
def test_what_goes_first_is_there(path: str) -> None:
    assert (Path(__file__).parents[1] / path).is_file()
