"""The engine with one batch ahead of the other, and where memory is short for it.

Only CUDA overlaps batches by itself; the order of the work is the same here, one after the other.
"""

import copy
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from odise_cli.engine import Engine
from odise_cli.errors import TryAgainError
from odise_cli.model.checkpoint import load_model, read_model_folder
from odise_cli.placement import place
from odise_cli.postprocess import SegmentOptions
from odise_cli.structures import DecodedImage, ImageRecord
from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.loader import load_vocabulary
from tests.runs import VOCAB, picture

# Canvases of 64×192: three crops, the last flush with the border.
SIZE = (64, 160)


@pytest.fixture(scope="module")
def pristine(small_model):
    return load_model(read_model_folder(small_model))


@pytest.fixture
def engine(pristine):
    return Engine(copy.deepcopy(pristine), place("cpu", "fp32", 2))


@pytest.fixture(scope="module")
def vocabulary(pristine, tmp_path_factory):
    words, _ = load_vocabulary([VOCAB])
    cache = TextEmbeddingCache(tmp_path_factory.mktemp("text"))
    engine = Engine(copy.deepcopy(pristine), place("cpu", "fp32", 1))
    return engine.embed_vocabulary(words, cache=cache, encoder="small")


def image(number):
    name = f"{number}.png"
    return DecodedImage(
        record=ImageRecord(path=Path(name), name=name, stem=str(number), image_id=number + 1),
        pixels_HW3=picture(number, (32, 80)),
        resized_HW3=picture(number, SIZE),
        decode_ms=0.0,
    )


BATCHES = [[image(0), image(1)], [image(2)], [], [image(3), image(4)]]


def maps(results):
    return [r.segmentation.panoptic_HW for _, found in results for r in found]


def segment(engine, vocabulary, batches=BATCHES, **options):
    return list(
        engine.segment(
            iter(batches),
            images_of=list,
            vocabulary=vocabulary,
            options=SegmentOptions(),
            **options,
        )
    )


def run_out_of_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def short_of_memory(module, limit):
    """Makes a module run out of memory with more than so many rows at once."""

    def check(_, args):
        if len(args[0]) > limit:
            run_out_of_memory()

    module.register_forward_pre_hook(check)


def test_batches_that_overlap_give_what_they_give_alone(engine, vocabulary):
    expected = segment(engine, vocabulary)
    order = []
    model = engine.model
    model.diffusion.register_forward_pre_hook(lambda *_: order.append("features"))
    model.mask_generator.register_forward_pre_hook(lambda *_: order.append("masks"))
    engine._overlaps = True
    found = segment(engine, vocabulary)
    assert [batch for batch, _ in found] == BATCHES
    # Features of the second batch before the masks of the first, and so on; one has no images.
    assert order == ["features", "features", "masks", "masks", "features", "masks"]
    assert len(maps(found)) == 5
    for one, other in zip(maps(found), maps(expected), strict=True):
        np.testing.assert_array_equal(one, other)
    stages = [list(r.stage_ms) for _, results in found for r in results]
    assert stages == 5 * [["decode", "features", "masks", "classify", "postprocess"]]


def test_told_to_stop_overlapping_batches_are_finished(engine, vocabulary):
    engine._overlaps = True
    asked = itertools.count()
    found = segment(engine, vocabulary, should_stop=lambda: next(asked) >= 2)
    assert [batch for batch, _ in found] == BATCHES[:2]
    assert [len(results) for _, results in found] == [2, 1]


@pytest.mark.parametrize("part", ["pyramid", "mask_generator"])
def test_batches_that_do_not_fit_beside_each_other_follow_each_other(engine, vocabulary, part):
    expected = segment(engine, vocabulary)
    # The first pass of one part fails, whichever half of the work that is in.
    passes = itertools.count()
    getattr(engine.model, part).register_forward_pre_hook(
        lambda *_: run_out_of_memory() if next(passes) == 1 else None
    )
    engine._overlaps = True
    found = segment(engine, vocabulary)
    assert (engine._overlaps, engine.num_batch_halvings) == (False, 0)
    for one, other in zip(maps(found), maps(expected), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("limit", [1, 2])
def test_where_not_all_crops_of_an_image_fit_fewer_share_a_pass(engine, vocabulary, limit):
    expected = segment(engine, vocabulary)
    short_of_memory(engine.model.diffusion, limit)
    sizes = []
    engine.model.diffusion.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    found = segment(engine, vocabulary)
    # 2 images → 1; then 8 crops a pass → 4 → 2 → 1. Three crops an image.
    assert engine.num_batch_halvings == (3 if limit == 2 else 4)
    assert sizes == 5 * ([2, 1] if limit == 2 else [1, 1, 1])
    for one, other in zip(maps(found), maps(expected), strict=True):
        assert (one != other).mean() <= 0.001


def test_where_not_even_a_crop_fits_it_says_try_again(engine, vocabulary):
    short_of_memory(engine.model.diffusion, 0)
    message = r"^0\.png: out of memory on cpu with a single image\. Expected more free memory\."
    with pytest.raises(TryAgainError, match=message):
        segment(engine, vocabulary)
    assert engine.model.crops_per_pass == engine.model.diffusion.vae_chunk == 1


@pytest.mark.parametrize(("limit", "gives_back"), [(1, True), (2**30, False)])
def test_only_large_networks_give_back_what_they_leave(
    pristine, vocabulary, monkeypatch, limit, gives_back
):
    calls = []
    monkeypatch.setattr("odise_cli.engine._MUCH_MEMORY", limit)
    monkeypatch.setattr("odise_cli.engine.give_back_memory", lambda: calls.append(1))
    engine = Engine(copy.deepcopy(pristine), place("cpu", "fp32", 2))
    engine.segment_batch(BATCHES[0], vocabulary, SegmentOptions())
    assert bool(calls) == gives_back
