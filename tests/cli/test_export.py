"""`odise export` from the shell's side; what it writes is tests/commands'."""

import inspect
from pathlib import Path

from odise_cli.cli.app import main
from odise_cli.cli.export import export
from odise_cli.cli.summaries import export_report_text
from odise_cli.config import ExportConfig
from odise_cli.reports.export import ExportReport


def test_its_defaults_are_the_config_s():
    parameters = inspect.signature(export).parameters
    assert tuple(parameters["size"].default or ()) == ExportConfig.size
    for name in ("model", "weights", "offline", "precision", "report", "verify"):
        assert parameters[name].default == getattr(ExportConfig, name)


def test_it_needs_a_format(tmp_path, capsys):
    assert main(["export", "--out", str(tmp_path / "out")]) == 2
    assert "Missing option '--format'." in capsys.readouterr().err


def test_what_nobody_looked_at_is_not_called_the_same():
    report = ExportReport(
        out=Path("out"),
        format="safetensors",
        precision="fp32",
        num_bytes=3 * 2**20,
        parity=None,
        num_samples=0,
    )
    assert export_report_text(report) == "safetensors, fp32, 3.0 MiB\nnot verified\nmodel: out"
