"""A whole model into one folder of graphs.

Knows which graphs there are; does not know who asks or what else goes into the folder.
"""

from collections.abc import Sequence
from pathlib import Path

from odise_cli.export.graph_writers import OnnxFolder, Pt2Folder
from odise_cli.export.graphs import (
    capture_classifier,
    capture_text,
    capture_vision,
    halve,
    max_images,
)
from odise_cli.model.exported import GraphConfig, Size
from odise_cli.model.graph_files import vision_name, write_graph_config
from odise_cli.model.odise import Odise


def graph_config(
    model: Odise, *, format: str, precision: str, canvases: Sequence[Size], seed: int
) -> GraphConfig:
    """What the folder's `odise.json` says of graphs that are made from a model so."""
    return GraphConfig.from_json(
        {
            "format": format,
            "precision": precision,
            "canvases": canvases,
            "picture_side": model.clip.image_size,
            "embed_dim": model.embed_dim,
            "max_images": min(max_images(size, model.config.crop_size) for size in canvases),
            "seed": seed,
        }
    )


def save_graphs(model: Odise, graphs: GraphConfig, folder: Path) -> None:
    """Write a model's graphs and their configuration.

    Args:
        model: on the CPU; converted in place.
        graphs: what to write.
        folder: exists.

    Raises:
        ExportError: the model, or an operator of it, cannot be exported.
        MissingDataError: a package is not installed.
        OSError: the disk is full, or cannot be written to.
    """
    kind = OnnxFolder if graphs.format == "onnx" else Pt2Folder
    with kind(folder) as files:
        files.write("classifier", capture_classifier(model))
        # After the classifier: CLIP's temperature is not for half precision.
        if graphs.precision == "fp16":
            halve(model)
        files.write("text", capture_text(model))
        for canvas in graphs.canvases:
            files.write(vision_name(canvas), capture_vision(model, canvas))
    write_graph_config(model.config, graphs, folder)
