"""A report with everything in it, and names that try to be more than names."""

import io

from PIL import Image

from odise_cli.reports.evaluation import EvaluationReport
from odise_cli.reports.page import Pictures

HOSTILE = '<script>alert("&")</script>'
HOSTILE_IMAGE = "a/\"><img src=x onerror='alert(1)'>.jpg"
NUM_CATEGORIES = 20


def category_row(number: int) -> dict[str, object]:
    """Category 3 has no ground truth; PQ falls as the number of segments grows."""
    has_truth = number != 3
    return {
        "id": 10 * number,
        "name": HOSTILE if number == 1 else f"name {number:02d}",
        "isthing": number % 2 == 0,
        "PQ": 100.0 - 5 * number if has_truth else None,
        "RQ": 100.0 - 5 * number if has_truth else None,
        "SQ": 100.0 if has_truth else None,
        "IoU": 50.0 + number if has_truth else None,
        "accuracy": 60.0 if has_truth else None,
        "num_matched": 2**number if has_truth else 0,
        "num_spurious": 1,
        "num_missed": 0,
        "num_true_px": 1000 * number,
    }


def example_report(**changes: object) -> EvaluationReport:
    fields: dict[str, object] = {
        "dataset": "ade20k",
        "num_images": 2000,
        "num_dataset_images": 2000,
        "figures": {"PQ": 41.125, "PQ_things": 40.0, "mIoU": 33.0, "fwIoU": None},
        "published": {"label": {"PQ": 22.6, "mIoU": 29.9}, "caption": {"PQ": 23.4}},
        "seen_split": {
            "exact_name": {
                "seen": {"num_categories": 12, "num_with_truth": 11, "PQ": 50.0, "mIoU": 40.0},
                "unseen": {"num_categories": 8, "num_with_truth": 8, "PQ": 30.0, "mIoU": None},
            }
        },
        "categories": [category_row(number) for number in range(NUM_CATEGORIES)],
        "without_truth": {"panoptic": ["name 03"], "semantic": ["name 03"]},
        "confusions": {
            "panoptic": [
                {"true": HOSTILE, "predicted": "name 02", "num_segments": 1234, "cost": 0.5},
                {"true": "name 04", "predicted": "name 02", "num_segments": 1, "cost": 0.25},
            ],
            "semantic": [{"true": "name 02", "predicted": None, "num_px": 77, "cost": 0.125}],
        },
        "images": {
            "measure": "PQ",
            "worst": [{"name": HOSTILE_IMAGE, "value": 1.25}],
            "best": [{"name": "b.jpg", "value": 99.0}],
        },
        "protocol": {
            "scored_at": "the size of the ground truth",
            "resized_for_the_model": {"short_side_px": 1024, "long_side_px": 2560},
            "vocabulary": ["ade150"],
            "num_categories": NUM_CATEGORIES,
            "vocabulary_sha256": "a" * 64,
            "predictions": "/tmp/<b>preds</b>",
            "predictions_settings_sha256": "b" * 64,
            "model": "tiny",
            "rules": {"PQ": "IoU > 0.5", "mAP": "…", "mIoU": "one matrix"},
        },
        "notices": ("mind <i>this</i>",),
    }
    return EvaluationReport(**{**fields, **changes})  # type: ignore[arg-type]


def jpeg(color: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), color).save(buffer, "JPEG")
    return buffer.getvalue()


def example_pictures() -> dict[str, Pictures]:
    return {
        HOSTILE_IMAGE: Pictures(
            photo=jpeg((200, 30, 30)), truth=jpeg((30, 200, 30)), predicted=jpeg((30, 30, 200))
        ),
        "b.jpg": Pictures(photo=None, truth=jpeg((9, 9, 9)), predicted=jpeg((99, 99, 99))),
    }
