"""The network as graphs beside the network as modules: the same graphs, not yet in files."""

from collections.abc import Iterator, Sequence

import pytest
import torch
from torch import Tensor

from odise_cli.errors import CheckpointError
from odise_cli.export.graph_folder import graph_config
from odise_cli.export.graphs import ClassifierGraph, TextGraph, VisionGraph
from odise_cli.model.exported import ExportedOdise, Graph, GraphConfig, Size, smallest_canvas
from odise_cli.model.odise import Odise
from tests.golden import drawn
from tests.model.golden import relative_error
from tests.model.golden_trace import to_tensor

CANVASES = ((192, 256), (64, 128))
TOLERANCE = 1e-3


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def exported(model: Odise, *, max_images: int = 8) -> tuple[ExportedOdise, list[Size]]:
    """The model's graphs, and on which canvases they were used with how many images."""
    passes: list[Size] = []

    def vision(canvas: Size) -> Graph:
        graph = VisionGraph(model, canvas)

        def run(*inputs: Tensor) -> Sequence[Tensor]:
            passes.append((canvas[0], len(inputs[0])))
            return graph(*inputs)

        return run

    found = graph_config(model, format="onnx", precision="fp32", canvases=CANVASES, seed=42)
    graphs = GraphConfig(**{**vars(found), "max_images": max_images})
    return ExportedOdise(
        model.config,
        graphs,
        vision=vision,
        text=TextGraph(model),
        classifier=ClassifierGraph(model),
    ), passes


def images() -> list[Tensor]:
    """Three images, the first two of one canvas."""
    drawing = to_tensor(drawn.image())
    return [drawing, drawing[:, :60, :100], drawing.flip(2)[:, :140, :195]]


@pytest.mark.parametrize("supervision", ["label", "caption"])
def test_the_answers_are_those_of_the_modules(supervision: str) -> None:
    model = drawn.build(supervision)
    text = drawn.vocabulary(model)
    found = exported(model)[0](images(), text)
    for one, other in zip(found, model(images(), text), strict=True):
        assert (one.canvas_size, one.image_size) == (other.canvas_size, other.image_size)
        assert relative_error(one.mask_logits_QHW, other.mask_logits_QHW) < TOLERANCE
        assert relative_error(one.class_scores_QK, other.class_scores_QK) < TOLERANCE


@pytest.fixture(scope="module")
def model() -> Odise:
    return drawn.build("label")


def test_words_are_embedded_alike(model: Odise) -> None:
    network = exported(model)[0]
    words = ["a photo of a cat.", "", "sky " * 100]
    assert network.embed_dim == model.embed_dim
    torch.testing.assert_close(network.embed_words(words), model.embed_words(words))


def test_weights_of_the_two_opinions_may_be_set(model: Odise) -> None:
    text, network = drawn.vocabulary(model), exported(model)[0]
    before = network(images()[:1], text)[0].class_scores_QK
    network.alpha, network.beta = 0.0, 1.0
    after = network(images()[:1], text)[0].class_scores_QK
    assert (before - after).abs().max() > 1e-3


def test_images_of_a_canvas_share_passes_up_to_what_a_graph_takes(model: Odise) -> None:
    text, stages = drawn.vocabulary(model), []
    network, passes = exported(model, max_images=2)
    batch = [*images(), images()[0]]
    found = network(batch, text, on_stage=stages.append)
    # Canvas 192×256 has three images, canvas 64×128 has one.
    assert passes == [(192, 2), (192, 1), (64, 1)]
    assert stages == ["masks", "classify"] * 3
    assert [one.image_size for one in found] == [tuple(image.shape[1:]) for image in batch]


def test_an_image_goes_on_the_smallest_canvas_that_holds_it() -> None:
    canvases = [(256, 256), (64, 640), (192, 256)]
    assert smallest_canvas((192, 256), canvases) == (192, 256)
    assert smallest_canvas((193, 10), canvases) == (256, 256)
    assert smallest_canvas((10, 10), canvases) == (64, 640)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"canvases": [[64]]}, "not enough values to unpack"),
        ({"canvases": [], "engine": "x"}, "unexpected keyword argument 'engine'"),
        ({"format": "onnx"}, "'canvases'"),
        (None, "'NoneType' object is not subscriptable"),
    ],
)
def test_a_configuration_that_nobody_wrote(content: object, message: str) -> None:
    with pytest.raises(CheckpointError, match=f"^odise.json: graphs: .*{message}"):
        GraphConfig.from_json(content)
