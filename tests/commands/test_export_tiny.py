"""The bundled model in every format: the sample pictures come out as from the model itself."""

from pathlib import Path

import pytest

from odise_cli.cli.app import main
from tests.runs import different_share, read_json, segment

SAMPLES = Path(__file__).resolve().parents[2] / "samples"


@pytest.fixture(scope="module")
def expected(tmp_path_factory) -> Path:
    return segmented("tiny", tmp_path_factory.mktemp("tiny"))


def segmented(model: object, folder: Path) -> Path:
    out = folder / "preds"
    flags = ["--vocab", "world48", "--model", model, "--write", "panoptic,semantic", "--quiet"]
    assert segment(SAMPLES, *flags, "--out", out) == 0
    return out


@pytest.mark.parametrize(
    ("form", "share"),
    # Another order of summation moves a logit of 0 to one side or the other: up to 12 pixels here.
    [("onnx", 1e-5), ("pt2", 1e-5), ("safetensors", 0.0)],
)
def test_the_samples_come_out_the_same(expected, tmp_path, form, share):
    out = tmp_path / "exported"
    # The pictures below say whether it answers alike.
    words = ["--model", "tiny", "--format", form, "--out", str(out), "--no-verify", "--quiet"]
    assert main(["export", *words]) == 0
    preds = segmented(out, tmp_path)
    assert different_share(expected, preds) <= share
    for kind in ("panoptic", "semantic"):
        assert len(list((preds / kind).glob("*.png"))) == 4
    segments, others = (read_json(each / "panoptic.json") for each in (expected, preds))
    for one, other in zip(segments["annotations"], others["annotations"], strict=True):
        names, other_names = (
            [segment["category_id"] for segment in each["segments_info"]] for each in (one, other)
        )
        assert names == other_names != []
