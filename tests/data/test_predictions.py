import json

import numpy as np
import pytest
from PIL import Image

from odise_cli.data.predictions import SavedImage, read_prediction, shrunk
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.structures import LabelRuns, Labels
from tests.writers.fakes import CATEGORIES, record, result, write_run

IDS = [category.id for category in CATEGORIES]
INDEX_OF_ID = {id_: index for index, id_ in enumerate(reversed(IDS))}
"""A dataset that counts the same categories in the other order."""


@pytest.fixture
def saved(tmp_path):
    """What a run wrote of one image."""
    write_run(tmp_path, range(1))
    stem = record(0).stem
    document = json.loads((tmp_path / "panoptic.json").read_text())
    return SavedImage(
        where=tmp_path,
        panoptic_png=tmp_path / "panoptic" / f"{stem}.png",
        segments_info=document["annotations"][0]["segments_info"],
        semantic_png=tmp_path / "semantic" / f"{stem}.png",
        instances=json.loads((tmp_path / "instances.json").read_text()),
    )


def read(saved):
    return read_prediction(saved, ids=IDS, index_of_id=INDEX_OF_ID)


def with_(saved, **changes):
    return SavedImage(**{**vars(saved), **changes})


def test_what_was_written_comes_back_with_the_dataset_s_indices(saved):
    written = result(0).segmentation
    labels = read(saved)
    np.testing.assert_array_equal(labels.panoptic.to_map(), written.panoptic_HW)
    assert [(region.id, 2 - region.category) for region in labels.regions] == [
        (segment.id, segment.category) for segment in written.segments
    ]
    is_void = written.semantic_HW == 65_535
    expected = np.where(is_void, 65_535, 2 - written.semantic_HW.astype(int))
    np.testing.assert_array_equal(labels.semantic.to_map(), expected)
    assert [2 - mask.category for mask in labels.instances] == written.instances.categories.tolist()
    assert [mask.score for mask in labels.instances] == pytest.approx(
        written.instances.scores.tolist()
    )
    # The area of a result's box must not stand in for that of its mask.
    assert {mask.area_px for mask in labels.instances} == {None}


def test_what_was_not_written_is_none(saved):
    nothing = with_(saved, panoptic_png=None, segments_info=(), semantic_png=None, instances=None)
    labels = read(nothing)
    assert labels.panoptic is None
    assert labels.semantic is None
    assert labels.instances is None
    assert labels.size is None


def test_a_map_of_other_ids_than_the_annotation_is_refused(saved):
    first, *others = saved.segments_info
    message = rf"image0\.png: has pixels of the segment id {first['id']}, which"
    with pytest.raises(UsageError, match=message):
        read(with_(saved, segments_info=others))
    more = [*saved.segments_info, {**first, "id": 999}]
    with pytest.raises(UsageError, match=r"lists the segment id 999 of .*image0\.png"):
        read(with_(saved, segments_info=more))


def test_an_unknown_category_is_refused(saved):
    segments = [{**info, "category_id": 8} for info in saved.segments_info]
    with pytest.raises(UsageError, match=r"the segment 1 of image0\.png has the category_id 8"):
        read(with_(saved, segments_info=segments))
    instances = [{**entry, "category_id": 8} for entry in saved.instances]
    with pytest.raises(UsageError, match=r"an instance of image_id 1 has the category_id 8"):
        read(with_(saved, instances=instances))


def test_an_unknown_index_is_refused(saved):
    Image.fromarray(np.full((2, 2), 3, np.uint16)).save(saved.semantic_png)
    with pytest.raises(UsageError, match=r"image0\.png: has pixels of the value 3, which is no"):
        read(saved)


def test_a_file_that_is_gone_is_named(saved):
    saved.semantic_png.unlink()
    with pytest.raises(MissingDataError, match=r"semantic/a/image0\.png: is not there"):
        read(saved)


def test_a_large_map_is_shrunk_and_a_small_one_is_kept():
    map_HW = np.arange(40, dtype=np.uint16).reshape(4, 10)
    large = shrunk(Labels(semantic=LabelRuns.of_map(map_HW)), 2)
    assert large.semantic.to_map().tolist() == [[0, 2, 4, 6, 8], [20, 22, 24, 26, 28]]
    small = Labels(semantic=LabelRuns.of_map(map_HW[:2]))
    np.testing.assert_array_equal(shrunk(small, 2).semantic.to_map(), small.semantic.to_map())
