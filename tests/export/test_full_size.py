"""The published architecture as ONNX: larger than a file of protobuf can be.

Slow: minutes, gigabytes of memory and 6 GB of files. Weights are made up; what is computed from
weights is compared at small size, by the tests of the command.
"""

import onnx
import open_clip
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from odise_cli.export.graph_folder import graph_config, save_graphs
from odise_cli.model.config import PUBLISHED_LABEL
from odise_cli.model.frozen_weights import unet_config, vae_config
from odise_cli.model.graph_files import WEIGHTS_FILE, open_network, read_graph_folder
from odise_cli.model.odise import Odise

pytestmark = pytest.mark.slow
CANVAS = (512, 512)
NUM_PARAMETERS = 859_520_964 + 83_653_863 + 427_944_193 + 28_067_009
"""MODEL.md, "Training"."""


def full_model() -> Odise:
    """Each tensor of another value: equal ones would be stored once."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**unet_config(320, 768))
        vae = AutoencoderKL(**vae_config(128))
        clip = open_clip.model.CLIP(**open_clip.get_model_config("ViT-L-14-336-quickgelu"))
    modules = [module.to_empty(device="cpu") for module in (unet, vae, clip)]
    parameters = [parameter for module in modules for parameter in module.parameters()]
    for number, parameter in enumerate(parameters, start=1):
        torch.nn.init.constant_(parameter, 1e-5 * number)
    clip.attn_mask.copy_(torch.full_like(clip.attn_mask, float("-inf")).triu(1))
    model = Odise(PUBLISHED_LABEL, unet=unet, vae=vae, clip=clip)
    return model.requires_grad_(False).eval()


def test_it_is_written_with_external_data_and_loads(tmp_path):
    model = full_model()
    graphs = graph_config(model, format="onnx", precision="fp32", canvases=[CANVAS], seed=42)
    save_graphs(model, graphs, tmp_path)
    del model
    # The VAE's last blocks and CLIP's other half are not needed: a little less than everything.
    assert (tmp_path / WEIGHTS_FILE).stat().st_size > 0.9 * 4 * NUM_PARAMETERS
    for path in tmp_path.glob("*.onnx"):
        assert path.stat().st_size < 50 * 2**20, path
        onnx.checker.check_model(path)
    files = read_graph_folder(tmp_path)
    assert files is not None
    network = open_network(files)
    # The text graph runs; that of the canvas loads, with all that it weighs.
    assert network.embed_words(["cat", "dog"]).shape == (2, 768)
    network._vision(CANVAS)
