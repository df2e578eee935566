"""`odise evaluate` from the shell's side; what the figures are is tests/commands'."""

import inspect
import json
import signal
from dataclasses import asdict

import pytest

from odise_cli.cli.app import main
from odise_cli.cli.evaluate import evaluate
from odise_cli.cli.settings import inference_settings
from odise_cli.commands.label_pairs import pair_entry
from odise_cli.config import EvaluateConfig, InferenceConfig
from tests.commands.truths import truth_run, write_dataset


@pytest.fixture
def voc(tmp_path):
    """Flags that score the ground truth of a miniature VOC against itself."""
    fields = truth_run(tmp_path, "voc21")
    return ["--data", str(fields["data"]), "--predictions", str(fields["predictions"])]


def test_the_defaults_of_the_command_line_are_those_of_the_config():
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(evaluate).parameters.items()
    }
    for name in ("data", "annotations", "masks", "images", "predictions", "out", "self_check"):
        assert defaults[name] == getattr(EvaluateConfig, name)
    assert inference_settings(defaults) == asdict(InferenceConfig())


def test_a_table_on_stdout(voc, tmp_path, capsys):
    assert main(["evaluate", "--dataset", "voc21", *voc, "--out", str(tmp_path / "report")]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "voc21: SUBSET of 4 of 1,449 images"
    assert "figure          this run  published (label)" in lines
    assert "mIoU              100.00              84.60" in lines
    report = tmp_path / "report"
    written = [str(report / f"report.{suffix}") for suffix in ("json", "md", "html")]
    assert lines[-1] == f"reports: {', '.join(written)}"
    assert err == ""


def test_stopped_while_it_scores_it_says_what_is_kept(voc, capsys, monkeypatch):
    def signalled(*given):
        if not met:
            signal.raise_signal(signal.SIGINT)
        met.append(given)
        return pair_entry(*given)

    met = []
    monkeypatch.setattr("odise_cli.commands.evaluate.pair_entry", signalled)
    assert main(["evaluate", "--dataset", "voc21", *voc]) == 130
    out, err = capsys.readouterr()
    assert out == ""
    assert "Interrupted. The same command scores again; predictions are kept." in err


def test_a_report_as_json(voc, capsys):
    assert main(["evaluate", "--dataset", "voc21", *voc, "--json", "--limit", "2"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out.splitlines()[-1])
    assert report["figures"]["mIoU"] == 100.0
    assert report["num_images"] == 2
    # What costs trust in figures is said even where only JSON is read.
    assert "2 predictions belong to no image that is scored" in err
    assert len(report["notices"]) == 1


def test_the_environment_names_the_downloads(voc, capsys, monkeypatch):
    monkeypatch.setenv("ODISE_DATASETS", voc[1])
    assert main(["evaluate", "--dataset", "voc21", *voc[2:], "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_self_check_exits_5_where_something_is_missing(tmp_path, capsys):
    write_dataset(tmp_path, "voc21")
    argv = ["evaluate", "--dataset", "voc21", "--data", str(tmp_path), "--self-check"]
    masks = tmp_path / "VOCdevkit/VOC2012/SegmentationClass"
    (masks / "2007_000001.png").unlink()
    assert main(argv) == 5
    assert capsys.readouterr().out.splitlines() == [
        "voc21                                     found  expected",
        "images in ImageSets/Segmentation/val.txt      4     1,449  INCOMPLETE",
        "SegmentationClass/*.png                       3         4  INCOMPLETE",
        "JPEGImages/*.jpg                              4         4          ok",
        "  missing of SegmentationClass/*.png: 2007_000001.png",
        "  images in ImageSets/Segmentation/val.txt: get what is missing from "
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012",
        "  SegmentationClass/*.png: get what is missing from "
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012",
    ]


@pytest.mark.parametrize("flags", [["--model", "label"], ["--seed", "42"], ["--dry-run"]])
def test_predictions_that_are_there_take_no_flags_of_a_model(voc, flags, capsys):
    assert main(["evaluate", "--dataset", "voc21", *voc, *flags]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"error: {flags[0]}: means nothing to --predictions, which are there")


def test_an_unknown_dataset_exits_2(capsys):
    assert main(["evaluate", "--dataset", "imagenet"]) == 2
    assert "--dataset: 'imagenet' is unknown." in capsys.readouterr().err


def test_a_missing_dataset_exits_5(tmp_path, capsys):
    assert main(["evaluate", "--dataset", "ade20k", "--data", str(tmp_path)]) == 5
    assert "ADEChallengeData2016: has no annotations/validation." in capsys.readouterr().err
