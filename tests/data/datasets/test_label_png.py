import numpy as np
import pytest

from odise_cli.data.datasets.label_png import open_label_png
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import categories_of, write_label_pngs

CATEGORIES = categories_of("cat | id=3; sky | stuff id=300; door | id=7")


def test_a_drawn_scene_comes_back_pixel_for_pixel(tmp_path):
    scenes = write_label_pngs(tmp_path, [3, 300, 7, 255, 1000], 3)
    dataset = open_label_png(tmp_path, CATEGORIES, void=[255, 1000])
    assert dataset.image_names == ("a/0.png", "a/2.png", "b/1.png")
    table = {3: 0, 300: 1, 7: 2, 255: 65_535, 1000: 65_535}
    for name, values in scenes.items():
        expected = np.vectorize(table.get)(values)
        np.testing.assert_array_equal(dataset.read(name).semantic.to_map(), expected)


def test_real_images(shared):
    folder = shared / "data" / "camvid"
    categories = categories_of(str(folder / "classes.json"))
    dataset = open_label_png(folder / "annotations" / "val", categories, void=[11])
    assert len(dataset.image_names) == 101
    values = np.unique(dataset.read(dataset.image_names[0]).semantic.to_map()).tolist()
    assert set(values) <= {*range(11), 65_535}


def test_a_value_that_is_no_category_is_not_taken_for_void(tmp_path):
    write_label_pngs(tmp_path, [3, 11], 1)
    message = r"a/0\.png: has pixels of the value 11, which is no .*void: 255\. .*--void\."
    with pytest.raises(UsageError, match=message):
        open_label_png(tmp_path, CATEGORIES, void=[255]).read("a/0.png")


def test_void_cannot_be_a_category(tmp_path):
    write_label_pngs(tmp_path, [3], 1)
    with pytest.raises(UsageError, match=r"--void: 7 is the id of the category 'door'\."):
        open_label_png(tmp_path, CATEGORIES, void=[7])


def test_a_folder_without_maps(tmp_path):
    with pytest.raises(MissingDataError, match="none: holds no PNG file"):
        open_label_png(tmp_path / "none", CATEGORIES, void=[255])


def test_images_are_those_of_the_same_path_but_for_the_suffix(tmp_path):
    write_label_pngs(tmp_path / "masks", [3], 3)
    images = tmp_path / "imgs"
    for name in ("a/0.jpg", "a/2.JPEG", "a/other.jpg", "b/1.txt"):
        (images / name).parent.mkdir(parents=True, exist_ok=True)
        (images / name).write_bytes(b"")
    dataset = open_label_png(tmp_path / "masks", CATEGORIES, void=[255], images=images)
    assert dataset.image_names == ("a/0.jpg", "a/2.JPEG", "b/1.png")
    assert dataset.images == images
    count = dataset.counts[-1]
    assert (count.what, count.found, count.missing) == ("images in imgs/", 2, ("b/1.*",))
    assert (dataset.read("a/2.JPEG").semantic.to_map() == 0).all()
    (images / "a/0.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"imgs: 'a/0.jpg' and 'a/0.png' are both images of .*a/0"):
        open_label_png(tmp_path / "masks", CATEGORIES, void=[255], images=images)


def test_images_may_lie_beside_their_label_maps(tmp_path):
    write_label_pngs(tmp_path, [3], 1)
    (tmp_path / "a/0.jpg").write_bytes(b"")
    dataset = open_label_png(tmp_path, CATEGORIES, void=[255], images=tmp_path)
    assert dataset.image_names == ("a/0.jpg",)
