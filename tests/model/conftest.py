"""Our model with the reference's recipe weights, and a smaller one with drawn weights."""

from pathlib import Path

import pytest

from odise_cli.model.checkpoint import load_model, read_model_folder
from odise_cli.model.odise import Odise
from tests.model.golden import Check, Golden


@pytest.fixture(scope="session")
def golden(shared: Path) -> Golden:
    folder = shared / "golden"
    if not folder.is_dir():
        pytest.skip("the reference's golden numbers are not beside this checkout")
    return Golden(folder)


@pytest.fixture(scope="session")
def label_model(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Odise:
    folder = golden.write_model(tmp_path_factory.mktemp("golden") / "label", "label")
    return load_model(read_model_folder(folder))


@pytest.fixture(scope="session")
def caption_model(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Odise:
    folder = golden.write_model(tmp_path_factory.mktemp("golden") / "caption", "caption")
    return load_model(read_model_folder(folder))


@pytest.fixture
def check(record_property: pytest.FixtureRequest) -> Check:
    def compare(errors: dict[str, float], limit: float) -> None:
        assert errors, "nothing was compared"
        record_property("worst_error", max(errors.values()))
        assert max(errors.values()) <= limit, errors

    return compare
