import pytest
import torch

from odise_cli.errors import CheckpointError, TryAgainError
from odise_cli.training.checkpoints import (
    STATE_FILE,
    find_checkpoints,
    read_state,
    save_checkpoint,
)


def save(run, step, num_kept=3):
    return save_checkpoint(
        run,
        step,
        {"optimizer": {"moment": torch.arange(3) + step}},
        write_weights=lambda folder: (folder / "weights").write_text(f"weights of {step}"),
        num_kept=num_kept,
    )


def test_what_is_written_is_read(tmp_path):
    path = save(tmp_path, 12)
    assert path == tmp_path / "checkpoints" / "step-00000012"
    state = read_state(path)
    assert state["step"] == 12
    assert state["optimizer"]["moment"].tolist() == [12, 13, 14]
    assert (path / "weights").read_text() == "weights of 12"


def test_the_newest_stay_in_order_of_number(tmp_path):
    for step in (9, 10, 200_000_000, 99):
        save(tmp_path, step, num_kept=2)
    assert [step for step, _ in find_checkpoints(tmp_path)] == [99, 200_000_000]


def test_a_failed_checkpoint_leaves_the_others(tmp_path, small_files):
    save(tmp_path, 1)
    small_files(100)
    with pytest.raises(TryAgainError, match="step-00000002: cannot be written now"):
        save(tmp_path, 2)
    small_files(None)
    assert [step for step, _ in find_checkpoints(tmp_path)] == [1]
    save(tmp_path, 2)
    assert [step for step, _ in find_checkpoints(tmp_path)] == [1, 2]


def test_what_an_unfinished_one_left_is_no_checkpoint(tmp_path):
    (tmp_path / "checkpoints" / ".incomplete").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-5").mkdir()
    assert find_checkpoints(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_broken_checkpoint_is_named(tmp_path, content):
    path = save(tmp_path, 3)
    if content is None:
        (path / STATE_FILE).unlink()
    else:
        (path / STATE_FILE).write_bytes(content)
    with pytest.raises(CheckpointError, match=r"step-00000003/optimizer\.pt: cannot be read"):
        read_state(path)
