import signal
import subprocess
import sys

import pytest

from odise_cli.cli.signals import StopSignals


@pytest.mark.parametrize(
    ("number", "name", "code"), [(signal.SIGINT, "Ctrl-C", 130), (signal.SIGTERM, "SIGTERM", 143)]
)
def test_the_first_signal_is_a_wish(number, name, code):
    said = []
    before = signal.getsignal(number)
    with StopSignals(said.append) as stop:
        assert not stop.is_requested()
        signal.raise_signal(number)
        assert stop.is_requested()
    assert stop.exit_code == code
    assert said == [f"{name}: finishing the batch in hand. Once more leaves at once."]
    assert signal.getsignal(number) == before


@pytest.mark.parametrize(
    ("first", "second", "code"),
    [(signal.SIGINT, signal.SIGINT, 130), (signal.SIGINT, signal.SIGTERM, 143)],
)
def test_the_second_signal_leaves_at_once(first, second, code):
    script = f"""
import signal
from odise_cli.cli.console import Console
from odise_cli.cli.signals import StopSignals
with StopSignals(Console().notice_in_signal_handler):
    signal.raise_signal({int(first)})
    print("still here", flush=True)
    signal.raise_signal({int(second)})
    print("never printed", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stdout == "still here\n"
    name = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}[second]
    assert done.stderr.splitlines() == [
        "Ctrl-C: finishing the batch in hand. Once more leaves at once.",
        f"{name} again: leaving at once.",
    ]
