"""Graphs in files, run by onnxruntime and by torch."""

import importlib.util

import onnx
import pytest
import torch
from torch import nn

from odise_cli.errors import CheckpointError, ExportError, MissingDataError
from odise_cli.export.graph_writers import OnnxFolder, Pt2Folder, require_onnx
from odise_cli.export.graphs import _capture
from odise_cli.model.graph_files import WEIGHTS_FILE, _open_onnx, _open_pt2


class Scaled(nn.Module):
    """A large weight and a small one, and an addition that must not get lost."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.shared = nn.Parameter(torch.arange(4096.0).reshape(64, 64))
        self.own = nn.Parameter(torch.tensor([value]))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (((x @ self.shared).relu() * self.own + 1e-8).log(),)


def graph_of(module: nn.Module):
    batch = torch.export.Dim("batch", min=1)
    return _capture(module, {"x": (torch.zeros(2, 64), {0: batch})}, ("y",))


@pytest.mark.parametrize(
    ("folder", "open_graph", "ending"),
    [(OnnxFolder, _open_onnx, "onnx"), (Pt2Folder, _open_pt2, "pt2")],
)
def test_a_graph_computes_what_the_module_does(tmp_path, folder, open_graph, ending):
    module = Scaled(3.0)
    with folder(tmp_path) as files:
        files.write("graph", graph_of(module))
    run = open_graph(tmp_path / f"graph.{ending}")
    for batch in (1, 5):
        x = torch.linspace(-1, 1, 64).repeat(batch, 1)
        with torch.no_grad():
            torch.testing.assert_close(run(x)[0], module(x)[0])
        with torch.no_grad():
            # The logarithm of 1e-8, not of 0.
            assert run(torch.zeros(1, 64))[0].max() == pytest.approx(-18.420681)


def test_weights_lie_beside_the_graphs_and_equal_ones_once(tmp_path):
    with OnnxFolder(tmp_path) as files:
        for name, value in (("one", 2.0), ("two", 5.0)):
            files.write(name, graph_of(Scaled(value)))
    assert (tmp_path / WEIGHTS_FILE).stat().st_size == 4096 * 4
    x = torch.ones(1, 64)
    one, two = (_open_onnx(tmp_path / f"{name}.onnx")(x)[0].exp() for name in ("one", "two"))
    torch.testing.assert_close(two, one * 2.5, rtol=1e-5, atol=1e-5)


def test_a_file_says_nothing_of_where_it_was_made(tmp_path):
    with OnnxFolder(tmp_path) as files:
        files.write("graph", graph_of(Scaled(1.0)))
    assert b".py" not in (tmp_path / "graph.onnx").read_bytes()
    model = onnx.load(tmp_path / "graph.onnx")
    onnx.checker.check_model(model)
    assert [value.name for value in model.graph.input] == ["x"]
    assert [value.name for value in model.graph.output] == ["y"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


def test_an_operator_that_onnx_lacks_is_named(tmp_path):
    class Eigen(nn.Module):
        def forward(self, x):
            return (torch.linalg.eigvals(x[:, :4, None] * x[:, None, :4]).abs(),)

    graph = graph_of(Eigen())
    message = r"^--format onnx: aten\.linalg_eig cannot be exported\. Expected operators that"
    with OnnxFolder(tmp_path) as files, pytest.raises(ExportError, match=message):
        files.write("graph", graph)


def test_a_package_that_is_not_installed(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnxscript" else found(name)
    )
    message = r"^--format onnx: onnxscript is not installed\..* pip install 'odise-cli\[onnx\]'\.$"
    with pytest.raises(MissingDataError, match=message):
        require_onnx()


@pytest.mark.parametrize(
    ("open_graph", "runtime"), [(_open_onnx, "onnxruntime"), (_open_pt2, "torch")]
)
def test_a_file_that_is_no_graph(tmp_path, open_graph, runtime):
    path = tmp_path / "broken"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match=rf"broken: {runtime} cannot open it \(.+\)\. Exp"):
        open_graph(path)
