import importlib.util
import json

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from odise_cli.training.metrics import EVENTS_FOLDER, METRICS_FILE, MetricsLog, has_tensorboard


def write(run, steps, *, after=0):
    log = MetricsLog(run, step=after)
    for step in steps:
        log.write(step, {"loss": step / 2, "validation": {"PQ": 10.0 * step, "mIoU": None}})
    log.close()


def steps_of(run):
    return [json.loads(line)["step"] for line in (run / METRICS_FILE).read_text().splitlines()]


def test_a_line_a_step(tmp_path):
    write(tmp_path, [1, 2])
    first = json.loads((tmp_path / METRICS_FILE).read_text().splitlines()[0])
    assert first == {"step": 1, "loss": 0.5, "validation": {"PQ": 10.0, "mIoU": None}}


def test_a_resumed_run_writes_no_step_twice(tmp_path):
    write(tmp_path, [1, 2, 3, 4])
    with (tmp_path / METRICS_FILE).open("a") as file:
        file.write('{"step": 5, "lo')
    write(tmp_path, [3, 4], after=2)
    assert steps_of(tmp_path) == [1, 2, 3, 4]
    events = EventAccumulator(str(tmp_path / EVENTS_FOLDER)).Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [
        (1, 0.5),
        (2, 1.0),
        (3, 1.5),
        (4, 2.0),
    ]
    assert [e.value for e in events.Scalars("validation/PQ")] == [10.0, 20.0, 30.0, 40.0]


def test_without_tensorboard_the_lines_are_written(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert not has_tensorboard()
    write(tmp_path, [1])
    assert steps_of(tmp_path) == [1]
    assert not (tmp_path / EVENTS_FOLDER).exists()
