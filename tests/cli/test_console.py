import io
import json
import logging
import re
import subprocess
import sys
import time
import warnings

import pytest

from odise_cli.cli.console import Console


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(time, "monotonic", lambda: Clock.now)
    return Clock


def test_data_goes_to_stdout_and_talk_to_stderr(capsys):
    with Console() as console:
        console.data("a result")
        console.notice("by the way")
        console.warning("mind this")
        console.error("this failed")
    assert capsys.readouterr() == (
        "a result\n",
        "by the way\nwarning: mind this\nerror: this failed\n",
    )


def test_quiet_leaves_warnings_errors_and_data(capsys):
    with Console() as console:
        console.configure(is_quiet=True)
        console.data("a result")
        console.result({}, "a summary")
        console.notice("by the way")
        console.warning("mind this")
        console.error("this failed")
    assert capsys.readouterr() == ("a result\n", "warning: mind this\nerror: this failed\n")


def test_json_prints_one_document_even_when_quiet(capsys):
    with Console() as console:
        console.configure(is_json=True, is_quiet=True)
        console.result({"images": 3, "name": "größe\udcff"}, "3 images")
    out, err = capsys.readouterr()
    assert json.loads(out) == {"images": 3, "name": "größe\udcff"}
    assert out.count("\n") == 1
    assert err == ""


def test_json_log_lines_are_one_object_each(capsys):
    with Console() as console:
        console.configure(log_format="json")
        console.notice("by the way")
        console.error("line one\nline two")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("info", "by the way"),
        ("error", "line one\nline two"),
    ]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]{12}\+00:00", line["time"]) for line in lines)


def test_a_pipe_gets_one_line_every_thirty_seconds(capsys, clock):
    with Console() as console, console.image_progress() as on_progress:
        on_progress(10, 0, 412)
        clock.now += 29.9
        on_progress(100, 0, 412)
        assert capsys.readouterr().err == ""
        clock.now += 0.1
        # (110 + 2 - 10) images in 30 s are 3.4 a second; 300 more take 88 s.
        on_progress(110, 2, 412)
        assert capsys.readouterr().err == ("112/412 images, 2 failed, 3.4 images/s, 0:01:28 left\n")
        clock.now += 29
        on_progress(200, 2, 412)
        assert capsys.readouterr().err == ""
        clock.now += 1
        on_progress(200, 2, 412)
        assert capsys.readouterr().err.startswith("202/412 images, 2 failed, 3.2 images/s")


def test_steps_are_called_steps(capsys, clock):
    with Console() as console, console.step_progress() as on_progress:
        on_progress(10, 412)
        clock.now += 30
        on_progress(112, 412)
    assert capsys.readouterr().err == "112/412 steps, 3.4 steps/s, 0:01:28 left\n"


def test_progress_before_anything_is_done_promises_nothing(capsys, clock):
    with Console() as console, console.image_progress() as on_progress:
        on_progress(0, 0, 5)
        clock.now += 60
        on_progress(0, 0, 5)
    assert capsys.readouterr().err == "0/5 images, 0 images/s\n"


def test_progress_as_json(capsys, clock):
    with Console() as console:
        console.configure(log_format="json")
        with console.image_progress() as on_progress:
            on_progress(0, 0, 100)
            clock.now += 40
            on_progress(18, 2, 100)
    line = json.loads(capsys.readouterr().err)
    del line["time"]
    assert line == {
        "level": "info",
        "message": "20/100 images, 2 failed, 0.5 images/s, 0:02:40 left",
        "done": 18,
        "failed": 2,
        "total": 100,
        "unit": "images",
        "per_second": 0.5,
        "seconds_left": 160,
    }


def test_download_progress_starts_anew_with_every_file(capsys, clock):
    with Console() as console, console.download_progress() as on_progress:
        on_progress("a.bin", 1_000, 10_000)
        clock.now += 50
        on_progress("b.bin", 500, None)
        clock.now += 50
        on_progress("b.bin", 1_000, None)
    assert capsys.readouterr().err == "b.bin: 1000/? B, 10 B/s\n"


def test_a_terminal_gets_a_bar_that_leaves_no_trace(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", "100")
    with Console() as console:
        with console.image_progress() as on_progress:
            on_progress(0, 0, 8)
            on_progress(3, 1, 8)
            console.notice("by the way")
            assert "\rby the way\n" in terminal.getvalue()
            on_progress(7, 1, 8)
        console.notice("after")
    shown = terminal.getvalue()
    assert "0/8 [" in shown
    assert "4/8 [" in shown
    assert "failed=1" in shown
    assert "images/s" in shown
    assert "\x1b[3" not in shown, "colours"
    # Blanks over the bar, back to the start of the line, the next line.
    assert re.search(r"\r +\rafter\n$", shown)


def test_a_quiet_run_shows_no_progress(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Console() as console:
        console.configure(is_quiet=True)
        with console.image_progress() as on_progress:
            on_progress(0, 0, 8)
            on_progress(8, 0, 8)
    assert terminal.getvalue() == ""


@pytest.fixture
def library():
    """A library's logger with a handler of its own, as transformers and diffusers have one."""
    stream = io.StringIO()
    logger, handler = logging.getLogger("some_library"), logging.StreamHandler(stream)
    logger.addHandler(handler)
    yield logger, stream
    logger.removeHandler(handler)


def test_libraries_are_hushed_and_speak_again_afterwards(library, capsys):
    logger, stream = library
    with Console():
        logger.error("chatter")
        warnings.warn("chatter", UserWarning, stacklevel=1)
    assert stream.getvalue() == ""
    assert capsys.readouterr() == ("", "")
    logger.error("speaks")
    assert stream.getvalue() == "speaks\n"
    with pytest.warns(UserWarning, match="speaks"):
        warnings.warn("speaks", UserWarning, stacklevel=1)


def test_verbose_relays_what_libraries_say(library, capsys):
    logger, stream = library
    with Console() as console:
        console.configure(is_verbose=True, log_format="json")
        logger.info("details %d", 3)
    logger.info("after")
    [line] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert (line["level"], line["message"], line["logger"]) == (
        "info",
        "details 3",
        "some_library",
    )
    assert "details 3" in stream.getvalue()


@pytest.mark.parametrize(
    ("stream", "code"), [("stdout", 141), ("stderr", 0)], ids=["results", "talk"]
)
def test_a_pipe_that_nobody_reads(stream, code):
    script = f"""
import sys, typer
from odise_cli.cli.console import Console
with Console() as console:
    sys.stdin.readline()
    try:
        for _ in range(3):
            console.data("x") if {stream!r} == "stdout" else console.notice("x")
    except typer.Exit as exit:
        sys.exit(exit.exit_code)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    getattr(process, stream).close()
    process.stdin.write("go\n")
    process.stdin.close()
    assert process.wait(timeout=30) == code
    other = process.stderr if stream == "stdout" else process.stdout
    assert other.read() == ""
    other.close()


def test_what_libraries_print_while_a_run_lasts_is_no_result(capsys):
    with Console() as console:
        with console.image_progress():
            sys.stdout.write("(raylet) a worker died")
        console.data("the result")
    assert capsys.readouterr().out == "the result\n"
