"""docs/evaluation-report.md against reports of real evaluations."""

import json
import re
from pathlib import Path

import pytest

from odise_cli.commands.evaluate import run_evaluate
from odise_cli.config import EvaluateConfig
from odise_cli.reports.evaluation import EvaluationReport
from tests.commands.truths import truth_run
from tests.reports.example import example_report

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
DOCUMENT = Path(__file__).resolve().parents[2] / "docs/evaluation-report.md"


def documented():
    """Every field of the table, as it is written there."""
    rows = re.findall(r"^\| (`[^|]+`) \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return [field for row in rows for field in re.findall(r"`([^`]+)`", row)]


def pattern(field):
    return re.compile(
        "".join(
            r"[^.\[\]]+" if part.startswith("<") else re.escape(part)
            for part in re.split(r"(<\w+>)", field)
        )
    )


def fields(value, path=""):
    """The path of every leaf; what is null or empty may be any part of the table below it."""
    if isinstance(value, dict):
        for name, below in value.items():
            yield from fields(below, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for below in value:
            yield from fields(below, f"{path}[]")
    else:
        yield path


@pytest.fixture(scope="module")
def documents(tmp_path_factory):
    found = [example_report().to_json()]
    for name in ("ade20k", "voc21", "label-png"):
        folder = tmp_path_factory.mktemp(name)
        failing = (2,) if name == "label-png" else ()
        run_evaluate(
            EvaluateConfig(**truth_run(folder, name, failing=failing), out=folder / "report"),
            on_notice=[].append,
            on_progress=lambda *_: None,
            should_stop=lambda: False,
        )
        found.append(json.loads((folder / "report/report.json").read_text()))
    return found


def test_every_field_is_documented_and_every_documented_field_is_there(documents):
    written = {field for document in documents for field in fields(document)}
    # `null` in place of the list.
    written.discard("protocol.void")
    patterns = {field: pattern(field) for field in documented()}
    assert len(patterns) == len(documented())
    assert [w for w in sorted(written) if not any(p.fullmatch(w) for p in patterns.values())] == []
    assert [
        field for field, p in patterns.items() if not any(p.fullmatch(w) for w in written)
    ] == []


def test_the_version_is_the_documented_one(documents):
    assert {document["schema"] for document in documents} == {EvaluationReport.SCHEMA}
    assert f"`schema` is `{EvaluationReport.SCHEMA}`." in DOCUMENT.read_text(encoding="utf-8")


def test_the_markdown_has_every_figure_of_the_json(documents):
    report = example_report()
    numbers = set(re.findall(r"-?[\d,]+(?:\.\d+)?", report.to_markdown()))

    def leaves(value):
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            return [leaf for below in value for leaf in leaves(below)]
        return [value]

    for value in leaves({**documents[0], "published": {}}):
        if isinstance(value, float):
            assert f"{value:.2f}" in numbers
        elif isinstance(value, int) and not isinstance(value, bool):
            assert f"{value:,}" in numbers or str(value) in numbers
