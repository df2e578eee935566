import json

import numpy as np
import pytest

from odise_cli.data.datasets.mapillary import open_mapillary
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of, save, write_panoptic
from tests.data.datasets.trees_streets import write_mapillary, write_mapillary_instances

CATEGORIES = categories_of("mapillary65")


@pytest.mark.parametrize("version", ["v1.2", ""])
def test_a_drawn_panoptic_pair_comes_back_pixel_for_pixel(tmp_path, version):
    write_mapillary(tmp_path, 3, version=version)
    # The same scenes under the categories' own ids, which count from 0.
    pair = tmp_path / "pair"
    scenes = write_panoptic(pair / "x.json", pair / "x", 3, CATEGORIES)
    dataset = open_mapillary(tmp_path, CATEGORIES)
    assert dataset.categories == CATEGORIES
    assert dataset.image_names == tuple(scenes)
    for name, (id_map, info) in scenes.items():
        assert (dataset.images / name).is_file()
        labels = dataset.read(name)
        np.testing.assert_array_equal(labels.panoptic.to_map(), id_map)
        assert {r.id: (r.category, int(r.iscrowd)) for r in labels.regions} == info
        for id_, (category, _) in info.items():
            assert (labels.semantic.to_map()[id_map == id_] == category).all()
        assert (labels.semantic.to_map()[id_map == 0] == 65_535).all()


def test_drawn_instance_maps_come_back_pixel_for_pixel(tmp_path):
    scenes = write_mapillary_instances(tmp_path, 3)
    dataset = open_mapillary(tmp_path, CATEGORIES)
    assert dataset.image_names == tuple(scenes)
    for name, values in scenes.items():
        labels = dataset.read(name)
        expected = np.where(values // 256 == 65, 65_535, values // 256)
        np.testing.assert_array_equal(labels.semantic.to_map(), expected)
        category_of = {region.id: region.category for region in labels.regions}
        values_of_region = {}
        for value in np.unique(values).tolist():
            ids = np.unique(labels.panoptic.to_map()[values == value]).tolist()
            assert len(ids) == 1
            if value == 65 * 256:
                assert ids == [0]
            else:
                assert category_of[ids[0]] == value // 256
                values_of_region.setdefault(ids[0], []).append(value)
        assert len(values_of_region) == len(labels.regions)
        # Birds 0 and 1 stay apart; both values of the curb, which is stuff, are one region.
        together = [both for both in values_of_region.values() if len(both) > 1]
        assert together in ([], [[512, 521]])
    assert together


def test_counts(tmp_path):
    path = write_mapillary(tmp_path, 3)
    (path.parent / "000000000002.png").unlink()
    (tmp_path / "mapillary_vistas/validation/images/000000000001.jpg").unlink()
    counts = open_mapillary(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [
        (2, 2000),
        (3, 2000),
        (2, 3),
        (65, 65),
    ]
    assert counts[0].missing == ("000000000001.jpg",)
    assert counts[2].missing == ("000000000002.png",)
    assert all("mapillary.com" in count.origin for count in counts)


def test_counts_of_instance_maps(tmp_path):
    write_mapillary_instances(tmp_path, 3)
    counts = open_mapillary(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [(3, 2000), (3, 2000)]


def test_missing_parts_are_named_with_their_origin(tmp_path):
    with pytest.raises(MissingDataError, match=r"has no validation\. .*mapillary\.com"):
        open_mapillary(tmp_path, CATEGORIES)
    (tmp_path / "mapillary_vistas/validation/images").mkdir(parents=True)
    message = r"validation: has neither v1\.2/panoptic/panoptic_2018\.json nor v1\.2/instances"
    with pytest.raises(MissingDataError, match=message):
        open_mapillary(tmp_path, CATEGORIES)


def test_categories_of_another_version_are_refused(tmp_path):
    path = write_mapillary(tmp_path, 1)
    document = json.loads(path.read_text())
    document["categories"][5]["name"] = "Road Median"
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"has no category 'Barrier', nor 0 more of the 65"):
        open_mapillary(tmp_path, CATEGORIES)


def test_a_value_that_is_no_category_is_named(tmp_path):
    write_mapillary_instances(tmp_path, 1)
    path = tmp_path / "mapillary_vistas/validation/v1.2/instances/street0.png"
    save(path, np.full(SIZE, 66 * 256, np.uint16))
    with pytest.raises(UsageError, match=r"street0\.png: has pixels of the value 66, which"):
        open_mapillary(tmp_path, CATEGORIES).read("street0.jpg")
