"""`odise evaluate`: saved predictions and ground truth in, figures out; no model is loaded.

Where there are no predictions yet, `dataset_run.py` makes them first.

Everything cheap that can fail (the dataset, the words, the names of the images) is settled
before a label map is read.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from odise_cli.commands.dataset_source import DatasetSource, open_dataset
from odise_cli.commands.evaluation_figures import Scorers, scorers_for
from odise_cli.commands.evaluation_pictures import draw_pictures
from odise_cli.commands.label_pairs import PairReader, pair_entry
from odise_cli.commands.scoring import score_images
from odise_cli.config import EvaluateConfig
from odise_cli.errors import ImageError, MissingDataError, UsageError
from odise_cli.evaluation.pairing import ImagePair, Pairing, check_same_categories, pair_images
from odise_cli.evaluation.published import PUBLISHED
from odise_cli.evaluation.seen import is_seen_by_exact_name, is_seen_by_normalised_name
from odise_cli.reports.evaluation import MEASURES, EvaluationReport, SelfCheckReport
from odise_cli.reports.page import Pictures, evaluation_page
from odise_cli.structures import Category
from odise_cli.vocabulary.loader import load_vocabulary
from odise_cli.vocabulary.vocabulary import Vocabulary
from odise_cli.writers.atomic import write_atomic
from odise_cli.writers.finished_run import FinishedRun

_TRAINING_VOCABULARY = "coco133"


def self_check(config: EvaluateConfig) -> SelfCheckReport:
    """Count what the dataset has against what its owner publishes.

    Raises:
        MissingDataError: so much is missing that nothing can be counted.
    """
    source = open_dataset(config)
    return SelfCheckReport(dataset=source.name, counts=source.dataset.counts)


def run_evaluate(
    config: EvaluateConfig,
    *,
    on_notice: Callable[[str], None],
    on_progress: Callable[[int, int, int], None],
    should_stop: Callable[[], bool],
) -> EvaluationReport | None:
    """Score the predictions of every image, and write the report if it has a folder.

    Args:
        config: what was asked for.
        on_notice: told, once each, what the user should know.
        on_progress: told (done, failed, total) now and then; none ever fails.
        should_stop: asked now and then.

    Returns:
        The report; None if `should_stop` said so first.

    Raises:
        OdiseError: the dataset, the predictions or both do not allow a figure that is right.
    """
    source = open_dataset(config)
    if not source.dataset.image_names:
        raise MissingDataError(
            f"--dataset {source.name}: has no ground truth of any image. Expected at least one. "
            "See what is missing with --self-check."
        )
    with FinishedRun.open(config.predictions_folder) as run:
        first, end = config.bounds(len(source.dataset.image_names))
        pairing = _pair_images(source, run, source.dataset.image_names[first:end])
        scorers, notices = _scorers(source, run)
        failures = _failures(source, run, pairing)
        notices += _notices(source, run, pairing, failures)
        for notice in notices:
            on_notice(notice)
        pairs = [pair for pair in pairing.pairs if run.rows[pair.predicted_name].status == "done"]
        is_complete = score_images(
            [pair_entry(source, run, pair) for pair in pairs],
            scorers,
            read=PairReader.of(source, run),
            on_scored=lambda num_scored: on_progress(num_scored, 0, len(pairs)),
            should_stop=should_stop,
        )
        if not is_complete:
            return None
        report = _report(config, source, run, scorers, notices, pairs=pairs, failures=failures)
        if report.out is not None:
            _write(report.out, report, _pictures(report, source, run, pairs))
    return report


def _write(out: Path, report: EvaluationReport, pictures: Mapping[str, Pictures]) -> None:
    text = json.dumps(report.to_json(), indent=1, allow_nan=False)
    write_atomic(out / "report.json", text.encode() + b"\n")
    # A path may hold bytes that are no text.
    write_atomic(out / "report.md", report.to_markdown().encode(errors="replace"))
    page = evaluation_page(report, pictures)
    write_atomic(out / "report.html", page.encode(errors="replace"))


def _pictures(
    report: EvaluationReport, source: DatasetSource, run: FinishedRun, pairs: Sequence[ImagePair]
) -> dict[str, Pictures]:
    """The pictures of the ranked images, which are read once more."""
    read, pair_of_name = PairReader.of(source, run), {pair.name: pair for pair in pairs}
    pictures = {}
    for row in (*report.images["worst"], *report.images["best"]):
        pair = pair_of_name[row["name"]]
        # The very file that was segmented, or the dataset's own where results were moved here.
        photos = [Path(run.run.settings.get("root", "")) / pair.predicted_name]
        if source.dataset.images is not None:
            photos.append(source.dataset.images / pair.name)
        truth, predicted = read(pair_entry(source, run, pair))
        pictures[pair.name] = draw_pictures(photos, truth, predicted, source.vocabulary.categories)
    return pictures


def _pair_images(source: DatasetSource, run: FinishedRun, names: Sequence[str]) -> Pairing:
    """Find the prediction of each image.

    Raises:
        UsageError: other words than the dataset's, or an image without a prediction.
    """
    folder = str(run.path)
    if not source.dataset.is_class_agnostic:
        check_same_categories(
            source.vocabulary.categories, run.run.categories(), dataset=source.name, folder=folder
        )
    return pair_images(names, list(run.rows), dataset=source.name, folder=folder)


def _failures(
    source: DatasetSource, run: FinishedRun, pairing: Pairing
) -> tuple[tuple[str, str], ...]:
    """(name, error) of the images that have no prediction because they failed.

    Raises:
        ImageError: all have.
    """
    failures = tuple(
        (pair.name, json.loads(run.manifest_line(pair.predicted_name))["error"])
        for pair in pairing.pairs
        if run.rows[pair.predicted_name].status == "failed"
    )
    if len(failures) == len(pairing.pairs):
        name, error = failures[0]
        raise ImageError(
            f"{run.path}: all {len(failures):,} images of {source.name} failed, the first is "
            f"{name!r}: {error} Expected at least one result. Mend them and run again."
        )
    return failures


def _scorers(source: DatasetSource, run: FinishedRun) -> tuple[Scorers, list[str]]:
    """What can be measured, and a notice of each figure that cannot.

    Raises:
        UsageError: nothing can.
    """
    possible = source.dataset.outputs
    measured = [name for name in possible if name in run.run.outputs]
    if not measured:
        raise UsageError(
            f"{run.path}: holds {', '.join(run.run.outputs)}, of which {source.name} has no ground "
            f"truth. Expected {' or '.join(possible)}. Segment again with --write "
            f"{','.join(possible)}."
        )
    scorers = scorers_for(source.dataset, source.vocabulary.categories, measured)
    return scorers, [
        f"{MEASURES[name]} is not measured: {run.path} holds no {name} (--write {name})."
        for name in possible
        if name not in measured
    ]


def _notices(
    source: DatasetSource,
    run: FinishedRun,
    pairing: Pairing,
    failures: Sequence[tuple[str, str]],
) -> list[str]:
    """What does not stop an evaluation and has to be known with its figures."""
    notices = []
    if failures:
        name, error = failures[0]
        notices.append(
            f"{run.path}: {len(failures):,} of {len(pairing.pairs):,} images of {source.name} "
            f"failed and are left out of every figure, the first is {name!r}: {error}"
        )
    if pairing.unused_names:
        notices.append(
            f"{run.path}: {len(pairing.unused_names):,} predictions belong to no image that is "
            f"scored ({pairing.unused_names[0]!r}) and are left out."
        )
    words = {category.id: category.words for category in source.own_categories}
    changed = [c.name for c in run.run.categories() if set(c.words) != set(words.get(c.id, ()))]
    if changed and not source.dataset.is_class_agnostic:
        notices.append(
            f"{run.path}: {len(changed):,} categories ({changed[0]!r}) have other words than "
            f"the vocabulary of {source.name}: figures do not compare with published ones."
        )
    return notices


def _report(
    config: EvaluateConfig,
    source: DatasetSource,
    run: FinishedRun,
    scorers: Scorers,
    notices: Sequence[str],
    *,
    pairs: Sequence[ImagePair],
    failures: tuple[tuple[str, str], ...],
) -> EvaluationReport:
    scores = scorers.compute()
    categories = source.vocabulary.categories
    _, training = _training_vocabulary(run)
    split: dict[str, dict[str, dict[str, float | int | None]]] = {}
    for name, is_seen in (
        ("exact_name", is_seen_by_exact_name(categories, training)),
        ("normalised_name", is_seen_by_normalised_name(categories, training)),
    ):
        split[name] = {
            side: {
                "num_categories": int(is_wanted.sum()),
                "num_with_truth": int((is_wanted & scores.has_truth).sum()),
                **scores.figures_of(is_wanted),
            }
            for side, is_wanted in (("seen", is_seen), ("unseen", ~is_seen))
        }
    dataset = source.dataset
    return EvaluationReport(
        dataset=source.name,
        num_images=len(pairs),
        num_dataset_images=dataset.num_published_images or len(dataset.image_names),
        figures=scores.figures(),
        published=PUBLISHED.get(source.name, {}),
        seen_split={} if dataset.is_class_agnostic else split,
        categories=scores.category_rows(categories),
        without_truth=scores.without_truth(categories),
        confusions=scores.confusion_rows(categories),
        images=scores.ranked_images([pair.name for pair in pairs]),
        protocol=_protocol(config, source, run),
        notices=tuple(notices),
        failures=failures,
        out=config.report_folder,
    )


def _training_vocabulary(run: FinishedRun) -> tuple[str, Sequence[Category]]:
    """What it is called, and the categories that the model has met: its own words, if they differ.

    A model lists its words without grouping them, so each of them is a category of its own here.
    """
    published = load_vocabulary([_TRAINING_VOCABULARY])[0]
    model = run.run.settings.get("model")
    words = model.get("training_words") if isinstance(model, dict) else None
    if not words or set(words) == set(published.words):
        return _TRAINING_VOCABULARY, published.categories
    return "the model's training words", [
        Category(id=number, words=(word,), isthing=True, color=(0, 0, 0))
        for number, word in enumerate(words)
    ]


def _protocol(config: EvaluateConfig, source: DatasetSource, run: FinishedRun) -> dict[str, Any]:
    """What the figures were measured with."""
    model = run.run.settings.get("model")
    resize = {}
    if isinstance(model, dict) and {"short_side", "long_side"} <= model.keys():
        resize = {"short_side_px": model["short_side"], "long_side_px": model["long_side"]}
    predicted = Vocabulary(categories=tuple(run.run.categories()), word_sources=())
    return {
        "scored_at": _scored_at(source.dataset.max_short_side_px, run),
        "resized_for_the_model": resize,
        "vocabulary": list(source.vocab),
        "num_categories": len(source.vocabulary.categories),
        "vocabulary_sha256": source.vocabulary.sha256,
        "predictions_vocabulary_sha256": predicted.sha256,
        "training_vocabulary": _training_vocabulary(run)[0],
        "void": list(config.void) if config.dataset == "label-png" else None,
        "model": run.run.info.get("model"),
        "weights": run.run.settings.get("weights"),
        "predictions": str(run.path),
        "predictions_settings_sha256": run.run.sha256,
        "rules": {
            "PQ": "COCO panoptic API: IoU > 0.5, void out of the union, predictions mostly on "
            "void or crowd dropped; a category with false positives alone counts as 0, and is "
            "left out of PQ_with_truth",
            "mAP": "pycocotools, masks, at most 100 detections of an image and category, things"
            if source.dataset.frequencies is None
            else "the rules of LVIS (federated), masks, at most 300 detections of an image",
            "AR@100": "whatever instances are called (useCats 0 in pycocotools), masks of things, "
            "at most 100 detections of an image",
            "mIoU": "one confusion matrix over all images, categories with ground truth",
        },
    }


def _scored_at(max_short_side: int | None, run: FinishedRun) -> str:
    """The size at which labels are compared, and what the model was given."""
    if max_short_side is None:
        return "the size of the ground truth"
    if run.run.settings.get("max_short_side") == max_short_side:
        return f"a short side of at most {max_short_side}, to which images and labels were shrunk"
    return (
        f"a short side of at most {max_short_side}, to which labels and larger predictions are "
        "shrunk (published figures are of images that were shrunk before the model saw them: "
        f"odise segment --max-short-side {max_short_side})"
    )
