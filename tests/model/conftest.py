"""Our model with the reference's recipe weights, and a smaller one with drawn weights."""

import pytest

from odise_cli.model.checkpoint import load_model, read_model_folder
from odise_cli.model.odise import Odise
from tests.model.golden import Golden


@pytest.fixture(scope="session")
def label_model(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Odise:
    folder = golden.write_model(tmp_path_factory.mktemp("golden") / "label", "label")
    return load_model(read_model_folder(folder))


@pytest.fixture(scope="session")
def caption_model(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Odise:
    folder = golden.write_model(tmp_path_factory.mktemp("golden") / "caption", "caption")
    return load_model(read_model_folder(folder))
