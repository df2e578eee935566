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
from odise_cli.config import ExportConfig
from odise_cli.engine import Engine
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.export.folder import save_whole_model
from odise_cli.export.parity import TOLERANCES, Parity, compare, refuse_disparity, sample_images
from odise_cli.hub import LICENCE_NOTICE, hash_file
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
_PARITY_VOCABULARY = "coco133"


def run_export(config: ExportConfig, *, on_notice: Callable[[str], None]) -> ExportReport:
    """Write a model in another form, and run what was written.

    The folder appears when everything in it is there and was found to answer alike.

    Args:
        config: what was asked for.
        on_notice: told, once each, what the user should know.

    Raises:
        ExportError: the exported model answers differently, or the precision cannot hold it.
        UsageError: the folder is not empty or cannot be written, or the report is of other weights.
        MissingDataError: a part of the model, or the report, is not there.
        TryAgainError: the disk is full.
    """
    source = find_model(config.model, weights=config.weights)
    evaluation = None if config.report is None else _read_evaluation(config.report, source)
    if source.notice:
        on_notice(source.notice)
    with new_folder(config.out) as folder:
        model = source.load(offline=config.offline, seed=_SEED)
        # The notice goes wherever the weights go.
        model.config = replace(model.config, notice=source.notice)
        num_parameters = sum(parameter.numel() for parameter in model.parameters())
        samples = sample_images((model.config.crop_size, model.config.crop_size * 3 // 2))
        expected = _predict(model, source, samples) if config.verify else None
        with explained_errors(config.out):
            save_whole_model(model, folder, precision=config.precision)
        del model
        parity = None if expected is None else _verify(folder, samples, expected, config)
        card = _card(config, source, num_parameters, evaluation)
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
        num_samples=0 if parity is None else len(samples),
    )


def _predict(model: Odise, source: ModelSource, samples: list[Any]) -> list[MaskPredictions]:
    """What a model says of the samples: in fp32, on the CPU, with words embedded by itself."""
    engine = Engine(model, place("cpu", "fp32", 1))
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
    exported = find_model(str(folder), weights=None)
    model = exported.load(offline=True, seed=_SEED)
    parity = compare(expected, _predict(model, exported, samples))
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
    evaluation: Mapping[str, Any] | None,
) -> ModelCard:
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
    return {
        "schema": _SCHEMA,
        "odise": odise_cli.__version__,
        "packages": {name: importlib.metadata.version(name) for name in _PACKAGES},
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
