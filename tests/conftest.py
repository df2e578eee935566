"""Fixtures that more than one test package needs."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of fixtures and sample data that may stand beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the shared fixtures are not beside this checkout")
    return folder
