import io
import json

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from odise_cli.errors import UsageError
from odise_cli.writers.semantic import (
    check_category_count,
    encode_semantic_png,
    semantic_labels,
)
from tests.writers.fakes import CATEGORIES, open_run, record, result, write_run

SIZES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9)


@given(hnp.arrays(np.uint16, SIZES, elements=st.integers(0, 65_535)))
def test_indices_survive_the_png(semantic_HW):
    image = Image.open(io.BytesIO(encode_semantic_png(semantic_HW)))
    assert (image.format, image.mode) == ("PNG", "I;16")
    assert (np.asarray(image) == semantic_HW).all()


def test_labels_say_what_each_value_means():
    assert semantic_labels(CATEGORIES[:2]) == {
        "void": 65535,
        "categories": [
            {
                "index": 0,
                "id": 7,
                "name": "cat",
                "synonyms": ["kitten"],
                "isthing": 1,
                "color": [220, 20, 60],
            },
            {
                "index": 1,
                "id": 300,
                "name": "sky",
                "synonyms": [],
                "isthing": 0,
                "color": [70, 130, 180],
            },
        ],
    }


def test_65535_categories_fit():
    check_category_count(65_535)


def test_more_categories_than_16_bits_are_refused():
    with pytest.raises(UsageError, match=r"--write semantic: .* has 65,536 categories.*65,535"):
        check_category_count(65_536)


def test_too_many_categories_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(UsageError, match="65,536"):
        open_run(tmp_path / "preds", categories=CATEGORIES[:1] * 65_536)
    assert not (tmp_path / "preds").exists()


def test_a_run_writes_maps_and_labels(tmp_path):
    write_run(tmp_path, range(2), outputs=("semantic",))
    semantic_HW = np.asarray(Image.open(tmp_path / "semantic" / f"{record(1).stem}.png"))
    assert (semantic_HW == result(1).segmentation.semantic_HW).all()
    labels = json.loads((tmp_path / "semantic" / "labels.json").read_text())
    assert labels == semantic_labels(CATEGORIES)
