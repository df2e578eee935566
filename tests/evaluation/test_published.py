import pytest

from odise_cli.config import DATASETS
from odise_cli.evaluation.published import PUBLISHED


def test_every_published_dataset_can_be_evaluated():
    assert set(PUBLISHED) <= set(DATASETS)


def test_figures_are_those_of_the_project_s_table(shared):
    text = (shared / "design" / "DATASETS.md").read_text(encoding="utf-8")
    for model in ("label", "caption"):
        line = next(line for line in text.splitlines() if line.startswith(f"| {model} |"))
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for dataset, cell in (("ade20k", cells[1]), ("coco", cells[2])):
            expected = [float(figure) for figure in cell.split("/")]
            assert list(PUBLISHED[dataset][model].values()) == pytest.approx(expected)
            assert list(PUBLISHED[dataset][model]) == ["PQ", "mAP", "mIoU"]
        assert len(cells) == 7
        for dataset, cell in zip(
            ("ade20k-full", "context59", "context459", "voc21"), cells[3:], strict=True
        ):
            assert PUBLISHED[dataset][model] == {"mIoU": float(cell)}
