"""What every test of training needs."""

from collections.abc import Iterator

import pytest
from accelerate.state import AcceleratorState

import odise_cli.model  # noqa: F401 - repairs torchvision before diffusers is imported


@pytest.fixture(autouse=True)
def fresh_processes() -> Iterator[None]:
    """Accelerate remembers device and precision for the life of a process; tests differ in them."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
