"""`odise export`: a model into files for deployment, and the proof that they answer alike."""

import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import odise_cli
from odise_cli.commands.model_source import ModelSource, find_model
from odise_cli.commands.network_source import ExportedSource, find_network
from odise_cli.config import GRAPH_FORMATS, ExportConfig
from odise_cli.data.geometry import padded_size
from odise_cli.engine import Engine
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.export.folder import save_whole_model
from odise_cli.export.graph_folder import graph_config, save_graphs
from odise_cli.export.graph_writers import require_onnx
from odise_cli.export.graphs import CROP_LIMIT, max_images
from odise_cli.export.parity import TOLERANCES, Parity, compare, refuse_disparity, sample_images
from odise_cli.hub import LICENCE_NOTICE, hash_file
from odise_cli.model.config import ModelConfig
from odise_cli.model.exported import Size
from odise_cli.model.network import Network
from odise_cli.model.odise import MaskPredictions, Odise
from odise_cli.placement import place
from odise_cli.reports.evaluation import EvaluationReport
from odise_cli.reports.export import ExportReport, ModelCard
from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.loader import load_vocabulary
from odise_cli.writers.atomic import explained_errors, new_folder, write_atomic

EXPORT_FILE = "export.json"
_SCHEMA = "odise-export/1"
_SEED = 42
_PACKAGES = ("torch", "diffusers", "transformers", "open_clip_torch", "safetensors")
_ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_GRAPH_NAMES = {"onnx": "ONNX graphs", "pt2": "torch.export graphs"}
_PARITY_VOCABULARY = "coco133"
_MARGIN_PX = 20
"""What pictures lack of their canvas; less than a multiple of 64, so that it stays theirs."""


def run_export(config: ExportConfig, *, on_notice: Callable[[str], None]) -> ExportReport:
    """Write a model in another form, and run what was written.

    The folder appears when everything in it is there and was found to answer alike.

    Args:
        config: what was asked for.
        on_notice: told, once each, what the user should know.

    Raises:
        ExportError: the exported model answers differently, the precision cannot hold it, or an
            operator of it cannot be exported.
        UsageError: the folder is not empty or cannot be written, or the report is of other weights.
        MissingDataError: a part of the model, or the report, is not there.
        TryAgainError: the disk is full.
    """
    source = find_model(config.model, weights=config.weights)
    evaluation = None if config.report is None else _read_evaluation(config.report, source)
    canvases = _canvases(config, source.config)
    if config.format == "onnx":
        require_onnx()
    if source.notice:
        on_notice(source.notice)
    with new_folder(config.out) as folder:
        model = source.load(offline=config.offline, seed=_SEED)
        # The notice goes wherever the weights go.
        model.config = replace(model.config, notice=source.notice)
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
        samples = _samples(model.config, canvases) if config.verify else []
        expected = _predict(model, source, samples)
        with explained_errors(config.out):
            _write(model, folder, config, canvases)
        del model
        parity = _verify(folder, samples, expected, config) if config.verify else None
        card = _card(config, source, num_parameters, canvases, evaluation)
        write_atomic(folder / "README.md", card.to_markdown().encode())
        record = _record(config, source, folder, parity)
        write_atomic(folder / EXPORT_FILE, (json.dumps(record, indent=2) + "\n").encode())
        num_bytes = sum(entry["bytes"] for entry in record["files"].values())
    return ExportReport(
        out=config.out,
        format=config.format,
        precision=config.precision,
        num_bytes=num_bytes,
        parity=None if parity is None else parity.to_json(),
        num_samples=len(samples),
    )


def _write(model: Odise, folder: Path, config: ExportConfig, canvases: tuple[Size, ...]) -> None:
    """The model's files."""
    if config.format not in GRAPH_FORMATS:
        save_whole_model(model, folder, precision=config.precision)
        return
    graphs = graph_config(
        model, format=config.format, precision=config.precision, canvases=canvases, seed=_SEED
    )
    save_graphs(model, graphs, folder)


def _canvases(config: ExportConfig, model: ModelConfig) -> tuple[Size, ...]:
    """What graphs are made for; none where there are no graphs.

    Raises:
        UsageError: a canvas has more crops than a graph can take.
    """
    if config.format not in GRAPH_FORMATS:
        return ()
    canvases = config.size or (padded_size((model.short_side, model.short_side * 3 // 2)),)
    for canvas in canvases:
        if not max_images(canvas, model.crop_size):
            raise UsageError(
                f"--size: {canvas[0]}x{canvas[1]} is cut into more than {CROP_LIMIT} crops of "
                f"{model.crop_size} pixels. Expected at most {CROP_LIMIT}. Use a smaller canvas."
            )
    return tuple(dict.fromkeys(canvases))


def _samples(model: ModelConfig, canvases: tuple[Size, ...]) -> list[Any]:
    """Pictures on which answers are compared: some fill their canvas, some are padded."""
    if not canvases:
        return sample_images((model.crop_size, model.crop_size * 3 // 2))
    samples = []
    for height, width in canvases:
        full, padded = sample_images((height, width))
        samples += [full, padded[: height - _MARGIN_PX, : width - 2 * _MARGIN_PX]]
    return samples


def _predict(
    network: Network, source: ModelSource | ExportedSource, samples: list[Any]
) -> list[MaskPredictions]:
    """What a network says of the samples: on the CPU, with words embedded by itself."""
    if not samples:
        return []
    engine = Engine(network, place("cpu", "fp32", 1))
    vocabulary, _ = load_vocabulary([_PARITY_VOCABULARY])
    # Embedded anew, in a cache of its own: the text encoder is a part of what is compared.
    with tempfile.TemporaryDirectory() as folder:
        embedded = engine.embed_vocabulary(
            vocabulary, cache=TextEmbeddingCache(Path(folder)), encoder=source.text_encoder_id()
        )
    return [engine.predict([sample], embedded)[0] for sample in samples]


def _verify(
    folder: Path, samples: list[Any], expected: list[MaskPredictions], config: ExportConfig
) -> Parity:
    """Load what was written as everybody will, run it, and compare."""
    exported = find_network(str(folder), weights=None)
    network = exported.load(offline=True, seed=_SEED)
    parity = compare(expected, _predict(network, exported, samples))
    refuse_disparity(parity, TOLERANCES[config.precision], where=str(config.out))
    return parity


def _read_evaluation(path: Path, source: ModelSource) -> Mapping[str, Any]:
    """A report of `odise evaluate`, if it is of these weights."""
    try:
        report: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        schema, weights = report["schema"], report["protocol"]["weights"]
    except OSError as error:
        raise MissingDataError(
            f"--report: {path} cannot be read ({error.strerror}). Expected a report.json of "
            "`odise evaluate`. Check the path."
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"--report: {path} is no report. Expected a report.json of `odise evaluate`. "
            "Check the path."
        ) from error
    if schema != EvaluationReport.SCHEMA:
        raise UsageError(
            f"--report: {path} has the schema {schema!r}. Expected {EvaluationReport.SCHEMA}. "
            "Evaluate the model again."
        )
    if weights != source.weights_sha256():
        raise UsageError(
            f"--report: {path} is of other weights. Expected figures of the model that is "
            "exported. Evaluate it, or leave out --report."
        )
    return report


def _card(
    config: ExportConfig,
    source: ModelSource,
    num_parameters: int,
    canvases: tuple[Size, ...],
    evaluation: Mapping[str, Any] | None,
) -> ModelCard:
    sizes = ", ".join(f"{height}x{width}" for height, width in canvases)
    return ModelCard(
        name=config.out.resolve().name,
        origin=config.model,
        licence=_licence(config, source),
        notice=source.notice,
        supervision=source.config.supervision,
        training_words=source.config.training_words,
        is_trained=source.config.is_trained,
        num_parameters=num_parameters,
        precision=config.precision,
        form=f"{_GRAPH_NAMES[config.format]} for canvases of {sizes} pixels"
        if canvases
        else "a folder of weights",
        evaluation=evaluation,
    )


def _licence(config: ExportConfig, source: ModelSource) -> str:
    """The hub's identifier of the weights' licence."""
    if source.notice == LICENCE_NOTICE:
        return "cc-by-nc-sa-4.0"
    return "apache-2.0" if config.model == "tiny" and config.weights is None else "other"


def _record(
    config: ExportConfig, source: ModelSource, folder: Path, parity: Parity | None
) -> dict[str, Any]:
    """The content of `export.json`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    tolerance = TOLERANCES[config.precision]
    packages = (*_PACKAGES, *(_ONNX_PACKAGES if config.format == "onnx" else ()))
    return {
        "schema": _SCHEMA,
        "odise": odise_cli.__version__,
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "format": config.format,
        "precision": config.precision,
        "model": config.model,
        "weights": source.weights_sha256(),
        "notice": source.notice,
        "parity": None
        if parity is None
        else {"found": parity.to_json(), "accepted": tolerance.to_json()},
        "files": {
            path.relative_to(folder).as_posix(): {
                "bytes": path.stat().st_size,
                "sha256": hash_file(path),
            }
            for path in files
        },
    }
