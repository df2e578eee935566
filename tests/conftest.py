"""Fixtures that more than one test package needs."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from tests.model.golden import Check, Golden

# Before anything imports torch: threads that spin while they wait make small operations a hundred
# times slower as soon as another process wants a core too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# An example's time says how busy the machine is.
settings.register_profile("odise", deadline=None)
settings.load_profile("odise")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of fixtures and sample data that may stand beside the checkout."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the shared fixtures are not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def golden(shared: Path) -> "Golden":
    """The reference's numbers."""
    from tests.model.golden import Golden

    folder = shared / "golden"
    if not folder.is_dir():
        pytest.skip("the reference's golden numbers are not beside this checkout")
    return Golden(folder)


@pytest.fixture
def check(record_property: pytest.FixtureRequest) -> "Check":
    def compare(errors: dict[str, float], limit: float) -> None:
        assert errors, "nothing was compared"
        record_property("worst_error", max(errors.values()))
        assert max(errors.values()) <= limit, errors

    return compare


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of the tests' own: what they embed and hash is nothing for a user's."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ODISE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder on which a run takes a second."""
    from tests.small_model import write_small_model

    return write_small_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture
def small_files() -> Iterator[Callable[[int | None], None]]:
    """Lets no file grow beyond so many bytes, None for any: to a writer the disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(num_bytes: int | None) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft if num_bytes is None else num_bytes, hard))

    yield limit
    limit(None)


@pytest.fixture
def bucket() -> Iterator[Any]:
    """fsspec's memory, empty; `memory://bucket/...` is in it."""
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
    yield memory
    memory.store.clear()
    memory.pseudo_dirs[:] = [""]
