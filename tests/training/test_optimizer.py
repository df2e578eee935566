import pytest
import torch
from torch import nn

from odise_cli.errors import UsageError
from odise_cli.model.tiny import new_tiny
from odise_cli.recipe.schema import OptimizerConfig
from odise_cli.training.optimizer import count_parameters, make_optimizer, parameter_groups


def test_norms_and_biases_do_not_decay():
    model = new_tiny(image_size=64, seed=0)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not name.startswith(("clip.", "diffusion.")))
    names = {id(p): name for name, p in model.named_parameters()}
    groups = parameter_groups(model, weight_decay=0.05)
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    decayed, undecayed = ({names[id(p)] for p in group["params"]} for group in groups)
    assert not decayed & undecayed
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert decayed | undecayed == trained
    generator = "mask_generator.decoder"
    assert {
        f"{generator}.queries_features.weight",
        "captioner.alpha_cond",
        "captioner.clip_project.positional_embedding",
        "mask_generator.mask_pooling.logit_scale",
        "head.null_embed",
        f"{generator}.decoder.layers.0.cross_attn.in_proj_weight",
        "head.text_proj.weight",
    } <= decayed
    assert {
        f"{generator}.decoder.layernorm.weight",
        f"{generator}.decoder.layers.0.cross_attn.in_proj_bias",
        "pyramid.projections.0.conv1.norm.weight",
        "head.text_proj.bias",
    } <= undecayed
    assert all(p.ndim == 1 for p in groups[1]["params"])


def test_counts():
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2).requires_grad_(False))
    counts = count_parameters(module)
    assert (counts.trainable, counts.frozen) == (3 * 2 + 2, 2 * 2 + 2)


def test_the_optimizer_is_adamw_over_what_is_trained():
    module = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2).requires_grad_(False))
    optimizer = make_optimizer(module, OptimizerConfig(learning_rate=0.5, betas=(0.8, 0.9)))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert optimizer.defaults["lr"] == 0.5
    assert optimizer.defaults["betas"] == (0.8, 0.9)
    assert sum(p.numel() for group in optimizer.param_groups for p in group["params"]) == 8


def test_nothing_to_train():
    with pytest.raises(UsageError, match=r"^optimizer: no parameter is trainable\."):
        make_optimizer(nn.Linear(2, 2).requires_grad_(False), OptimizerConfig())
