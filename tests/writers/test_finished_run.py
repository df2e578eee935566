import json

import pytest

from odise_cli.errors import TryAgainError, UsageError
from odise_cli.writers.finished_run import FinishedRun
from tests.writers.fakes import open_run, record, result, write_run


def open_finished(path):
    with FinishedRun.open(path) as run:
        return run


def test_lines_and_files_of_an_image(tmp_path):
    write_run(tmp_path, range(3), failing=(1,))
    with FinishedRun.open(tmp_path) as run:
        assert [row.status for row in run.rows.values()] == ["done", "failed", "done"]
        name = record(2).name
        assert json.loads(run.manifest_line(name))["image_id"] == 3
        assert json.loads(run.journal_line(run.rows[name]))["panoptic"]["image_id"] == 3
        assert [file.as_posix() for file in run.files(name)] == [
            "panoptic/a/image2.png",
            "semantic/a/image2.png",
            "overlays/a/image2.jpg",
        ]


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no-run: holds no results.*run\.json"):
        open_finished(tmp_path / "no-run")


def test_a_run_that_has_not_finished_is_refused(tmp_path):
    with open_run(tmp_path / "preds") as folder:
        folder.write(result(0))
    with pytest.raises(UsageError, match=r"preds: its run has not finished"):
        open_finished(tmp_path / "preds")


def test_a_run_that_is_running_is_refused(tmp_path):
    write_run(tmp_path / "preds", range(1))
    with open_run(tmp_path / "preds"), pytest.raises(TryAgainError, match="preds: in use"):
        open_finished(tmp_path / "preds")


def test_results_that_are_gone_are_named(tmp_path):
    write_run(tmp_path, range(3))
    (tmp_path / "semantic" / f"{record(1).stem}.png").unlink()
    with pytest.raises(UsageError, match=r"'b/image1\.jpg' has lost a file"):
        open_finished(tmp_path)
