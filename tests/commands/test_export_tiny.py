"""The bundled model in every format: the sample pictures come out as from the model itself."""

from pathlib import Path

import pytest

from odise_cli.cli.app import main
from tests.runs import panoptic_ids, segment

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> Path:
    return segmented("tiny", tmp_path_factory.mktemp("tiny"))


def segmented(model: object, folder: Path) -> Path:
    out = folder / "preds"
    flags = ["--vocab", "world48", "--model", model, "--write", "panoptic,semantic", "--quiet"]
    assert segment(SAMPLES, *flags, "--out", out) == 0
    return out


@pytest.mark.parametrize("form", ["onnx", "pt2", "safetensors"])
def test_the_samples_come_out_the_same(expected, tmp_path, form):
    out = tmp_path / "exported"
    # The pictures below say whether it answers alike.
    words = ["--model", "tiny", "--format", form, "--out", str(out), "--no-verify", "--quiet"]
    assert main(["export", *words]) == 0
    preds = segmented(out, tmp_path)
    pngs = sorted(path.relative_to(expected) for path in expected.rglob("*.png"))
    assert len(pngs) == 8
    for png in pngs:
        assert (preds / png).read_bytes() == (expected / png).read_bytes(), png
    assert panoptic_ids(expected / "panoptic" / "coast.png").max() > 1
