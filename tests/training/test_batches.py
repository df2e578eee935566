from itertools import islice

import pytest
import torch

from odise_cli.data.training.coco import open_coco_panoptic_samples
from odise_cli.data.training.loading import Preparation
from odise_cli.data.training.nouns import caption_nouns
from odise_cli.data.training.stream import ShuffledStream
from odise_cli.training.batches import open_batches
from odise_cli.vocabulary.loader import load_vocabulary
from tests.commands.training_data import VOCAB, write_training_set


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = write_training_set(tmp_path_factory.mktemp("training") / "set", 5)
    categories = load_vocabulary([VOCAB])[0].categories
    return open_coco_panoptic_samples(
        folder / "panoptic.json",
        folder / "masks",
        folder / "images",
        categories,
        captions=folder / "captions.json",
    )


def batches(samples, count, *, first=0, images=2, words_of=None, rank=0, world_size=1):
    stream = ShuffledStream(num_samples=5, seed=1, rank=rank, world_size=world_size)
    preparation = Preparation(crop=(64, 128), is_augmented=False, words_of=words_of)
    opened = open_batches(
        samples, stream, preparation, first=first, images_per_pass=images, num_workers=2
    )
    return list(islice(opened, count))


def test_what_the_objective_gets(samples):
    (batch,) = batches(samples, 1)
    assert batch.canvases_B3HW.shape == (2, 3, 64, 128)
    assert batch.canvases_B3HW.dtype == torch.float32
    assert 0 <= float(batch.canvases_B3HW.min()) < float(batch.canvases_B3HW.max()) <= 1
    for name, canvas, target in zip(batch.names, batch.canvases_B3HW, batch.targets, strict=True):
        sample = samples[samples.names.index(name)]
        # A square of 64 fits the height: its pixels and masks are untouched.
        expected = torch.from_numpy(sample.image).permute(2, 0, 1) / 255
        assert torch.equal(canvas[:, :, :64], expected)
        assert torch.equal(target.masks_NHW[:, :, :64], torch.from_numpy(sample.masks))
        assert not target.masks_NHW[:, :, 64:].any()
        assert target.category_N.tolist() == sample.category_index.tolist()
        assert target.words is None


def test_words_instead_of_categories(samples):
    (batch,) = batches(samples, 1, words_of=caption_nouns)
    for name, target in zip(batch.names, batch.targets, strict=True):
        (caption,) = samples[samples.names.index(name)].captions
        assert target.category_N is None
        assert len(target.words) == 8
        assert set(target.words) <= set(caption_nouns(caption))


def test_a_stream_opened_later_goes_on_there(samples):
    names = [batch.names for batch in batches(samples, 7)]
    assert [batch.names for batch in batches(samples, 4, first=3)] == names[3:]
    # An epoch is five images: two and a half batches.
    assert sorted(sum(names[:2], ()) + names[2][:1]) == sorted(samples.names)


def test_processes_share_a_pass(samples):
    joint = [set(batch.names) for batch in batches(samples, 5)]
    shares = [batches(samples, 5, images=1, rank=rank, world_size=2) for rank in (0, 1)]
    together = [set(one.names) | set(two.names) for one, two in zip(*shares, strict=True)]
    assert together == joint
