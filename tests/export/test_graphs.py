"""What is captured, and for how many images; the figures are counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from odise_cli.errors import ExportError
from odise_cli.export.graphs import (
    _capture,
    capture_classifier,
    capture_text,
    capture_vision,
    max_images,
    named_operators,
    paste,
)
from odise_cli.model.feature_pyramid import crop_boxes
from tests.golden import drawn


@pytest.fixture(scope="module")
def model():
    return drawn.build("label")


def test_crops_are_pasted_as_a_naive_loop_pastes_them():
    # Three crops of 64 in a row on 128: the last one overlaps by nothing; 2 rows on 64 + 32.
    canvas, stride = (96, 160), 4
    boxes = crop_boxes(canvas, 64)
    rng = np.random.default_rng(0)
    crops = rng.random((2, len(boxes), 3, 16, 16), np.float32)
    expected, count = np.zeros((2, 3, 24, 40)), np.zeros((24, 40))
    for number, (top, bottom, left, right) in enumerate(boxes):
        rows, columns = slice(top // 4, bottom // 4), slice(left // 4, right // 4)
        expected[:, :, rows, columns] += crops[:, number]
        count[rows, columns] += 1
    assert count.max() == 4
    found = paste(torch.from_numpy(crops), boxes, canvas, stride)
    np.testing.assert_allclose(found.numpy(), expected / count, rtol=1e-6)


@pytest.mark.parametrize(
    ("canvas", "expected"),
    [
        ((512, 512), 63),  # one crop
        ((1024, 1536), 10),  # 2 · 3 crops, 63 / 6 = 10.5
        ((3584, 4608), 1),  # 7 · 9 = 63 crops
        ((4096, 4096), 0),  # 64 crops
    ],
)
def test_images_of_a_pass(canvas, expected):
    assert max_images(canvas, 512) == expected


def test_the_text_graph_takes_any_number_of_sentences_and_holds_no_more_than_it_reads(model):
    program = capture_text(model).program
    tower = model.clip.model
    for number in (1, 3):
        tokens = torch.zeros(number, 77, dtype=torch.int64)
        tokens[:, :3] = torch.tensor([49406, 320, 49407])
        with torch.no_grad():
            (found,) = program.module()(tokens)
            torch.testing.assert_close(found, tower.encode_text(tokens))
    assert not any(name.startswith("clip.visual") for name in program.state_dict)
    assert "clip.token_embedding.weight" in program.state_dict


def test_the_classifier_takes_any_numbers_of_images_words_and_categories(model):
    program = capture_classifier(model).program
    assert len(program.state_dict) < 10
    queries, hidden, dim = 8, model.config.mask_generator.hidden_dim, model.embed_dim
    for images, words, categories in ((1, 1, 1), (2, 7, 4)):
        category_N = torch.arange(words) * categories // words
        inputs = (
            torch.rand(images, queries, hidden),
            torch.rand(images, queries, dim),
            torch.rand(images, queries, 1),
            torch.rand(words, dim),
            torch.rand(words, dim),
            category_N,
            torch.arange(categories) % 2 == 0,
            torch.tensor(0.25),
            torch.tensor(0.75),
        )
        with torch.no_grad():
            (scores,) = program.module()(*inputs)
        assert scores.shape == (images, queries, categories + 1)
        torch.testing.assert_close(scores.exp().sum(-1), torch.ones(images, queries))


def test_masks_that_are_cut_out_are_no_graph(monkeypatch):
    # Other tests use the same drawn model.
    model = drawn.build("label")
    monkeypatch.setattr(model, "config", replace(model.config, clip_masks="cropped"))
    with pytest.raises(ExportError, match=r"^odise\.json: clip_masks is 'cropped'\. Expected"):
        capture_vision(model, (64, 128))


def test_what_cannot_be_captured_is_said():
    class Counts(nn.Module):
        def forward(self, x):
            return (x[: int(x.sum())],)

    with pytest.raises(ExportError, match=r"^Counts: Could not .*cannot be exported\. Expected"):
        _capture(Counts(), {"x": (torch.ones(3), {})}, ("y",))


def test_an_operator_is_named_by_its_name():
    cause = RuntimeError("No ONNX function found for <OpOverload(op='aten.foo', overload='bar')>.")
    message = r"^x: aten\.foo cannot be exported"
    with pytest.raises(ExportError, match=message), named_operators("x"):
        raise RuntimeError("conversion failed") from cause
