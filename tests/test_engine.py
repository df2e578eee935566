"""The engine: batches through a thread of its own, memory, precision, words embedded once."""

import copy
import dataclasses
import itertools
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from odise_cli.engine import Engine
from odise_cli.errors import TryAgainError
from odise_cli.model.checkpoint import load_model, read_model_folder
from odise_cli.model.odise import Odise
from odise_cli.model.precision import hold_frozen_in
from odise_cli.placement import place
from odise_cli.postprocess import SegmentOptions
from odise_cli.structures import DecodedImage, ImageRecord
from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.loader import load_vocabulary
from tests.runs import VOCAB, picture

EVERYTHING = SegmentOptions(has_semantic=True, has_instances=True)
SIZES = [(64, 96), (96, 64), (64, 96), (64, 64), (64, 128)]


@pytest.fixture(scope="module")
def model(small_model):
    return load_model(read_model_folder(small_model))


@pytest.fixture(scope="module")
def engine(model):
    return Engine(model, place("cpu", "fp32", 1))


@pytest.fixture(scope="module")
def vocabulary(engine, tmp_path_factory):
    words, _ = load_vocabulary([VOCAB])
    cache = TextEmbeddingCache(tmp_path_factory.mktemp("text"))
    return engine.embed_vocabulary(words, cache=cache, encoder="small")


@pytest.fixture
def limit_images(model):
    """Makes the network run out of memory with more images than so many at once."""
    hooks = []

    def limit(count, run_out_of_memory):
        def check(_, args):
            if len(args[0]) > count:
                run_out_of_memory()

        hooks.append(model.register_forward_pre_hook(check))

    yield limit
    for hook in hooks:
        hook.remove()


def image(number, size=(64, 96), original_size=(32, 48)):
    """A decoded image; `size` is what the network sees."""
    name = f"{number}.png"
    return DecodedImage(
        record=ImageRecord(path=Path(name), name=name, stem=str(number), image_id=number + 1),
        pixels_HW3=picture(number, original_size),
        resized_HW3=picture(number, size),
        decode_ms=float(number),
    )


def names(images_or_results):
    return [getattr(item, "image", item).record.name for item in images_or_results]


def segment(engine, batches, vocabulary, **options):
    return engine.segment(
        batches, images_of=list, vocabulary=vocabulary, options=SegmentOptions(), **options
    )


def device_threads():
    return [thread for thread in threading.enumerate() if thread.name == "device"]


def share_of_different_pixels(ours, theirs):
    return np.mean([(one != other).mean() for one, other in zip(ours, theirs, strict=True)])


def test_results_come_batch_by_batch_in_order(engine, vocabulary):
    batches = [[image(0), image(1)], [], [image(2)], [image(3), image(4, (64, 64))]]
    results = list(segment(engine, iter(batches), vocabulary))
    assert [batch for batch, _ in results] == batches
    assert [names(found) for _, found in results] == [names(batch) for batch in batches]
    assert device_threads() == []


def test_a_result_has_what_was_asked_for(engine, vocabulary):
    bare, full = (
        engine.segment_batch([image(7)], vocabulary, options)[0]
        for options in (SegmentOptions(), EVERYTHING)
    )
    assert bare.segmentation.semantic_HW is None
    assert bare.segmentation.instances is None
    assert full.segmentation.size == (32, 48)
    assert full.segmentation.semantic_HW.shape == (32, 48)
    assert len(full.segmentation.instances.scores) > 0
    stages = ["decode", "features", "masks", "classify", "postprocess"]
    assert list(full.stage_ms) == stages
    assert full.stage_ms["decode"] == 7.0
    assert all(full.stage_ms[stage] > 0 for stage in stages)


def test_times_are_shared_by_the_images_of_a_batch(engine, vocabulary):
    started = time.perf_counter()
    results = engine.segment_batch([image(n) for n in range(4)], vocabulary, EVERYTHING)
    elapsed_ms = 1e3 * (time.perf_counter() - started)
    without_decoding = [{**result.stage_ms, "decode": 0.0} for result in results]
    assert 0.8 * elapsed_ms < sum(sum(ms.values()) for ms in without_decoding) <= elapsed_ms
    assert all(ms == without_decoding[0] for ms in without_decoding)


def test_a_batch_of_mixed_sizes_is_its_images_one_by_one(engine, vocabulary):
    images = [image(n, size) for n, size in enumerate(SIZES)]
    together = engine.segment_batch(images, vocabulary, EVERYTHING)
    alone = [engine.segment_batch([each], vocabulary, EVERYTHING)[0] for each in images]
    assert names(together) == names(images)
    for kind in ("panoptic_HW", "semantic_HW"):
        maps = [[getattr(r.segmentation, kind) for r in results] for results in (together, alone)]
        assert any(len(np.unique(each)) > 1 for each in maps[0])
        assert share_of_different_pixels(*maps) <= 0.001
    for ours, theirs in zip(together, alone, strict=True):
        ours, theirs = ours.segmentation, theirs.segmentation
        assert [s.category for s in ours.segments] == [s.category for s in theirs.segments]
        scores = ours.instances.scores, theirs.instances.scores
        np.testing.assert_allclose(*scores, rtol=1e-4)


def test_the_same_batch_twice_is_the_same_to_the_last_bit(engine, vocabulary):
    images = [image(n, size) for n, size in enumerate(SIZES[:3])]
    first, second = (engine.segment_batch(images, vocabulary, EVERYTHING) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        one, other = one.segmentation, other.segmentation
        assert (one.panoptic_HW == other.panoptic_HW).all()
        assert one.segments == other.segments
        assert (one.instances.scores == other.instances.scores).all()


def test_segments_less_probable_than_the_unknown_threshold_are_void(engine, vocabulary):
    options = SegmentOptions(unknown_threshold=1.0)
    segmentation = engine.segment_batch([image(0)], vocabulary, options)[0].segmentation
    assert segmentation.segments == ()
    assert not segmentation.panoptic_HW.any()


def test_told_to_stop_no_other_batch_is_begun(engine, vocabulary):
    asked = itertools.count()
    batches = ([image(number)] for number in itertools.count())
    results = segment(engine, batches, vocabulary, should_stop=lambda: next(asked) >= 2)
    assert [names(batch) for batch, _ in results] == [["0.png"], ["1.png"]]


def test_told_to_stop_the_batch_in_hand_is_finished(engine, vocabulary, model):
    stop = threading.Event()
    hook = model.register_forward_pre_hook(lambda *_: stop.set())
    batches = ([image(number)] for number in itertools.count())
    results = list(segment(engine, batches, vocabulary, should_stop=stop.is_set))
    hook.remove()
    assert [names(found) for _, found in results] == [["0.png"]]


def test_told_to_stop_at_once_the_network_never_runs(engine, vocabulary, limit_images):
    limit_images(0, lambda: pytest.fail("the network ran"))
    assert list(segment(engine, [[image(0)]], vocabulary, should_stop=lambda: True)) == []


def test_the_input_is_read_only_a_little_ahead(engine, vocabulary):
    read = []

    def batches():
        for number in itertools.count():
            read.append(number)
            yield [image(number)]

    with closing(segment(engine, batches(), vocabulary)) as results:
        next(results)
        deadline = time.monotonic() + 30
        # One is here, two wait in the queue, one waits to get into it.
        while len(read) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.3)
        assert len(read) == 4


def test_a_consumer_that_leaves_early_leaves_no_thread(engine, vocabulary):
    batches = itertools.repeat([image(0)])
    with closing(segment(engine, batches, vocabulary)) as results:
        next(results)
        assert len(device_threads()) == 1
    assert device_threads() == []


def test_a_consumer_that_never_begins_starts_no_thread(engine, vocabulary):
    segment(engine, itertools.repeat([image(0)]), vocabulary).close()
    assert device_threads() == []


def test_an_error_of_the_input_reaches_the_consumer_after_the_results(engine, vocabulary):
    def batches():
        yield [image(0)]
        raise FileNotFoundError("the disk went away")

    results = segment(engine, batches(), vocabulary)
    assert names(next(results)[1]) == ["0.png"]
    with pytest.raises(FileNotFoundError, match="the disk went away"):
        next(results)
    assert device_threads() == []


def test_an_error_of_the_network_reaches_the_consumer(engine, vocabulary, limit_images):
    def misfit():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    limit_images(1, misfit)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        list(segment(engine, [[image(0), image(1)]], vocabulary))
    assert device_threads() == []


def cuda_out_of_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def cpu_out_of_memory():
    torch.empty(2**50, dtype=torch.uint8)  # what PyTorch's own allocator says of a petabyte


def numpy_out_of_memory():
    np.empty(2**50, np.uint8)


@pytest.mark.parametrize(
    "run_out_of_memory", [cuda_out_of_memory, cpu_out_of_memory, numpy_out_of_memory]
)
def test_out_of_memory_halves_the_batch_from_now_on(
    model, vocabulary, limit_images, run_out_of_memory
):
    engine = Engine(model, place("cpu", "fp32", 5))
    images = [image(n, size) for n, size in enumerate(SIZES)]
    expected = engine.segment_batch(images, vocabulary, SegmentOptions())
    assert engine.num_batch_halvings == 0
    sizes = []
    limit_images(2, run_out_of_memory)
    hook = model.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    found = engine.segment_batch(images, vocabulary, SegmentOptions())
    # 5 → 3 → 2: two halvings, and the third image's company is the fourth.
    assert engine.num_batch_halvings == 2
    assert sizes == [2, 2, 1]
    assert names(found) == names(images)
    maps = [[r.segmentation.panoptic_HW for r in results] for results in (found, expected)]
    assert share_of_different_pixels(*maps) <= 0.001
    engine.segment_batch(images[:3], vocabulary, SegmentOptions())
    hook.remove()
    assert (engine.num_batch_halvings, sizes) == (2, [2, 2, 1, 2, 1])


@pytest.mark.parametrize(
    "run_out_of_memory", [cuda_out_of_memory, cpu_out_of_memory, numpy_out_of_memory]
)
def test_out_of_memory_with_a_single_image_says_try_again(
    model, vocabulary, limit_images, run_out_of_memory
):
    # Passes of a single crop are tried before the end; here they are no help.
    engine = Engine(model, place("cpu", "fp32", 4))
    limit_images(0, run_out_of_memory)
    message = r"^0\.png: out of memory on cpu with a single image\. Expected more free memory\."
    with pytest.raises(TryAgainError, match=message) as caught:
        list(segment(engine, [[image(n) for n in range(4)]], vocabulary))
    assert caught.value.exit_code == 75
    assert engine.num_batch_halvings == 2 + 3
    model.crops_per_pass = 8
    assert device_threads() == []


def test_bf16_agrees_with_fp32(model, vocabulary):
    pixels = torch.from_numpy(image(0, SIZES[0]).resized_HW3.copy())
    pixels = pixels.permute(2, 0, 1).float() / 255
    with torch.inference_mode():
        exact = model([pixels], vocabulary.text)[0]
        with torch.autocast("cpu", dtype=place("cpu", "bf16", 1).precision):
            rounded = model([pixels], vocabulary.text)[0]
    masks = [p.mask_logits_QHW.float() > 0 for p in (exact, rounded)]
    assert (masks[0] != masks[1]).float().mean() < 0.05
    classes = [p.class_scores_QK.float().softmax(-1) for p in (exact, rounded)]
    # bf16 has eight bits of mantissa: about 1 % after a few layers. How far the worst of some
    # dozens is off depends on the processor's kernels: 0.03 to 0.07.
    assert (classes[0] - classes[1]).abs().mean() < 0.01
    assert (classes[0] - classes[1]).abs().max() < 0.1
    assert not torch.equal(classes[0], classes[1])


def test_bf16_results_are_fp32(model, vocabulary):
    results = Engine(copy.deepcopy(model), place("cpu", "bf16", 1)).segment_batch(
        [image(0, SIZES[0])], vocabulary, EVERYTHING
    )
    assert results[0].segmentation.instances.scores.dtype == np.float32


def test_weights_held_in_bf16_say_what_autocast_of_mapped_ones_says(model, vocabulary):
    def dtypes(engine):
        return {parameter.dtype for parameter in engine.model.diffusion.parameters()}

    mapped, held = (Engine(copy.deepcopy(model), place("cpu", "bf16", 1)) for _ in range(2))
    # A GPU's engine does so by itself; on a CPU it would take memory that mapped files do not.
    hold_frozen_in(held.model, torch.bfloat16)
    assert (dtypes(mapped), dtypes(held)) == ({torch.float32}, {torch.bfloat16})
    # Eight bits of mantissa are about 1 % after a few layers.
    pixels = image(0, SIZES[0]).resized_HW3
    classes, others = (
        engine.predict([pixels], vocabulary)[0].class_scores_QK.float().softmax(-1)
        for engine in (mapped, held)
    )
    assert (classes - others).abs().mean() < 0.01
    assert (classes - others).abs().max() < 0.05


def embedded(model, words, cache_folder, *, encoder="small"):
    """The embeddings, and how often the text encoder ran for them."""
    passes = []
    hook = model.clip.model.ln_final.register_forward_hook(lambda *_: passes.append(1))
    found = Engine(model, place("cpu", "fp32", 1)).embed_vocabulary(
        load_vocabulary(words)[0], cache=TextEmbeddingCache(cache_folder), encoder=encoder
    )
    hook.remove()
    return found.text, len(passes)


@pytest.fixture(scope="module")
def caption_model(model):
    """The same parts under a head that is supervised by captions; not trained, not read."""
    config = dataclasses.replace(model.config, supervision="caption")
    parts = {"unet": model.diffusion.unet, "vae": model.diffusion.vae, "clip": model.clip.model}
    return Odise(config, **parts).eval()


def test_label_words_are_embedded_in_two_templates_once(model, tmp_path):
    text, num_passes = embedded(model, [VOCAB], tmp_path)
    assert num_passes == 2
    assert text.head_ND.shape == text.photo_ND.shape == (4, model.clip.embed_dim)
    assert not torch.equal(text.head_ND, text.photo_ND)
    again, num_passes = embedded(model, [VOCAB], tmp_path)
    assert num_passes == 0
    assert torch.equal(again.head_ND, text.head_ND)
    assert torch.equal(again.photo_ND, text.photo_ND)
    assert embedded(model, [VOCAB], tmp_path, encoder="another")[1] == 2


def test_caption_words_are_embedded_in_one_template_once(caption_model, model, tmp_path):
    text, num_passes = embedded(caption_model, [VOCAB], tmp_path)
    assert num_passes == 1
    assert torch.equal(text.head_ND, text.photo_ND)
    # The label model needs the bare words besides, and nothing else.
    assert embedded(model, [VOCAB], tmp_path)[1] == 1


def test_bits_do_not_depend_on_what_the_cache_already_has(model, tmp_path):
    words = [f"thing number {number}" for number in range(70)]
    expected, num_passes = embedded(model, ["; ".join(words)], tmp_path / "all")
    assert num_passes == 2 * 3
    for vocabulary in (words[60:], words[:7:-3], words[20:55]):
        embedded(model, ["; ".join(vocabulary)], tmp_path / "grown")
    found, _ = embedded(model, ["; ".join(words)], tmp_path / "grown")
    assert torch.equal(found.head_ND, expected.head_ND)
    assert torch.equal(found.photo_ND, expected.photo_ND)


def test_words_know_their_categories_and_training(model, tmp_path):
    config = dataclasses.replace(model.config, training_words=("kitten", "sky"))
    parts = {"unet": model.diffusion.unet, "vae": model.diffusion.vae, "clip": model.clip.model}
    text, _ = embedded(Odise(config, **parts).eval(), [VOCAB], tmp_path)
    assert text.category_N.tolist() == [0, 0, 1, 2]
    assert text.seen_K.tolist() == [True, False, True]
