"""When an image leaves much of an exported model's canvas empty; percentages by hand."""

import pytest

from odise_cli.commands.canvas_watch import CanvasWatch
from odise_cli.model.config import ModelConfig
from odise_cli.structures import ImageResult
from odise_cli.writers.encoded import EncodedImage, encode_image
from tests.writers.fakes import CATEGORIES, result

MODEL = ModelConfig(supervision="label", short_side=256, long_side=640)


def told_of(*results: ImageResult | EncodedImage, canvases=((256, 384),)) -> list[str]:
    told: list[str] = []
    watch = CanvasWatch(MODEL, canvases, told.append)
    for each in results:
        watch.look_at([each])
    return told


def test_a_square_image_on_the_usual_canvas():
    # 256x256 of 256x384.
    assert told_of(result(3, size=(100, 100))) == [
        "b/image3.jpg covers 67% of the smallest canvas that this exported model has for it, "
        "256x384; an empty part can make results worse. For images like this, export the model "
        "with --size 256x256 (--size may be repeated)."
    ]


@pytest.mark.parametrize(
    ("size", "canvas", "cover", "best"),
    [
        # It becomes 341x256 and is shrunk to 256x192, half of 256x384.
        ((640, 480), (256, 384), "50%", "384x256"),
        # 2.5 : 1 becomes 256x640, shrunk to 153x384.
        ((40, 100), (256, 384), "60%", "256x640"),
        # 256x341 on twice the canvas that it needs: 0.889 / 2.
        ((48, 64), (512, 384), "44%", "256x384"),
    ],
)
def test_what_fits_badly(size, canvas, cover, best):
    (notice,) = told_of(result(0, size=size), canvases=[canvas])
    assert f" covers {cover} of " in notice
    assert f"for it, {canvas[0]}x{canvas[1]};" in notice
    assert f"with --size {best} (" in notice


@pytest.mark.parametrize(
    ("size", "canvas"),
    [
        ((48, 64), (256, 384)),  # 256x341: 89 %
        ((90, 160), (256, 384)),  # 256x455, shrunk to 216x384: 84 %
        ((64, 64), (256, 320)),  # 256x256: 80 %
        ((100, 100), (256, 256)),  # all of it
    ],
)
def test_what_fits_well_enough(size, canvas):
    assert told_of(result(0, size=size), canvases=[canvas]) == []


def test_the_canvas_that_the_weights_would_use_is_no_waste():
    tiny = ModelConfig(supervision="label", short_side=64, long_side=160)
    told: list[str] = []
    # 64x65 covers 51 % of 64x128, but there is no smaller canvas that holds it.
    CanvasWatch(tiny, [(64, 128)], told.append).look_at([result(0, size=(64, 65))])
    assert told == []


def test_the_best_of_several_canvases_counts():
    canvases = [(512, 512), (256, 256), (256, 384)]
    assert told_of(result(0, size=(100, 100)), canvases=canvases) == []


def test_of_many_only_the_first_is_named():
    square = [result(number, size=(50, 50)) for number in range(2, 5)]
    told = told_of(result(1, size=(48, 64)), *square)
    assert [notice.split()[0] for notice in told] == ["a/image2.jpg"]


def test_images_from_other_machines_come_encoded():
    encoded = encode_image(
        result(3, size=(100, 100)), outputs=["panoptic"], categories=list(CATEGORIES)
    )
    assert told_of(encoded) == told_of(result(3, size=(100, 100))) != []


def test_a_model_of_weights_takes_any_size():
    assert told_of(result(0, size=(100, 100)), canvases=()) == []
