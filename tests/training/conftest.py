"""What every test of training needs."""

from collections.abc import Iterator

import pytest
from accelerate.state import AcceleratorState


@pytest.fixture(autouse=True)
def fresh_processes() -> Iterator[None]:
    """Accelerate remembers device and precision for the life of a process; tests differ in them."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
