"""Datasets whose ground truth is instances alone, as `odise evaluate` scores them."""

import json
from dataclasses import replace

import pytest

from odise_cli.cli.app import main
from odise_cli.commands.dataset_source import open_dataset
from odise_cli.config import EvaluateConfig
from odise_cli.errors import UsageError
from odise_cli.structures import Category
from odise_cli.vocabulary.vocabulary import Vocabulary
from tests.commands.test_evaluate import evaluate
from tests.commands.truths import NUM_IMAGES, truth_run, write_dataset, write_truth

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def arguments(fields):
    return [
        "evaluate",
        *(f"--{name}={fields[name]}" for name in ("dataset", "data", "predictions")),
    ]


def test_the_names_of_predictions_do_not_matter_to_uvo(tmp_path, capsys):
    fields = write_dataset(tmp_path / "data", "uvo")
    source = open_dataset(EvaluateConfig(**fields))
    words = (Category(id=7, words=("whatever",), isthing=True, color=(0, 0, 0)),)
    other = replace(source, vocabulary=Vocabulary(categories=words, word_sources=()))
    write_truth(other, tmp_path / "preds", outputs=("instances",))
    fields["predictions"] = tmp_path / "preds"
    out = tmp_path / "report"
    assert main([*arguments(fields), f"--out={out}"]) == 0
    text = capsys.readouterr().out
    assert "AR@100" in text
    assert "seen" not in text
    assert "AR@100: whatever instances are called" in text
    document = json.loads((out / "report.json").read_text())
    assert document["figures"]["AR@100"] == 100.0
    assert (document["categories"], document["seen_split"]) == ([], {})
    for name in ("report.md", "report.html"):
        page = (out / name).read_text()
        assert "100.00" in page
        assert "Seen and unseen" not in page


def test_lvis_is_judged_by_its_own_rules(tmp_path, capsys):
    fields = truth_run(tmp_path, "lvis")
    assert main(arguments(fields)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"lvis: SUBSET of {NUM_IMAGES} of 19,809 images"
    assert any(line.startswith("AP_r") and "100.00" in line for line in lines)
    assert any(line.startswith("mAP: the rules of LVIS (federated)") for line in lines)


def test_a_detection_of_what_nobody_looked_for_costs_lvis_nothing(tmp_path):
    path = tmp_path / "data/lvis_v1_val.json"
    fields = write_dataset(tmp_path / "data", "lvis")
    source = open_dataset(EvaluateConfig(**fields))
    write_truth(source, tmp_path / "preds", outputs=("instances",))
    fields["predictions"] = tmp_path / "preds"
    figures = {}
    document = json.loads(path.read_text())
    truths = document["annotations"]
    # Of category 4 the first image has none any more: not looked for, or known to be absent.
    document["annotations"] = [
        entry for entry in truths if (entry["image_id"], entry["category_id"]) != (1, 4)
    ]
    assert len(truths) - len(document["annotations"]) == 1
    for kind, absent in (("unknown", []), ("absent", [4])):
        document["images"][0]["neg_category_ids"] = absent
        path.write_text(json.dumps(document))
        main([*arguments(fields), f"--out={tmp_path / kind}", "--quiet"])
        report = json.loads((tmp_path / kind / "report.json").read_text())
        figures[kind] = {row["id"]: row["AP"] for row in report["categories"]}[4]
    # Images come in the order of their names, 2, 4, 1, 3, and all scores are 1: right, right,
    # wrong, right. Recall 2/3 reaches 67 of the 101 levels with precision 1, the rest has 3/4.
    assert figures["unknown"] == 100.0
    assert figures["absent"] == pytest.approx(100 * (67 + 34 * 0.75) / 101)


def test_masks_of_another_size_are_refused(tmp_path):
    fields = truth_run(tmp_path, "lvis")
    path = tmp_path / "data/lvis_v1_val.json"
    document = json.loads(path.read_text())
    for image in document["images"]:
        image.update(height=60, width=88)
    document["annotations"] = [a for a in document["annotations"] if a["id"] % 10 == 1]
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=r"is \(30, 44\) .* ground truth is \(60, 88\)\."):
        evaluate(fields)
