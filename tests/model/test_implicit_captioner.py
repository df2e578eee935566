import torch

from odise_cli.model.implicit_captioner import ImplicitCaptioner


def captioner() -> ImplicitCaptioner:
    module = ImplicitCaptioner(3, text_dim=2, num_tokens=4, time_embed_dim=5)
    with torch.no_grad():
        module.empty_caption.copy_(torch.arange(8.0).view(1, 4, 2))
    return module


def test_closed_gates_leave_the_empty_caption() -> None:
    module = captioner()
    text, time = module(torch.randn(2, 3))
    assert torch.equal(text, module.empty_caption.expand(2, -1, -1))
    assert torch.equal(time, torch.zeros(2, 5))


@torch.no_grad()
def test_open_gates_by_hand() -> None:
    module = captioner()
    module.alpha_cond.fill_(torch.inf)  # tanh(∞) = 1
    module.alpha_cond_time_embed.fill_(-torch.inf)
    module.clip_project.positional_embedding.copy_(torch.arange(4.0)[None, :, None])
    embeds = torch.tensor([[1.0, 0.0, 0.0]])
    for linear in (module.clip_project.linear, module.time_embed_project.linear):
        linear.weight.zero_()
        linear.weight[:, 0] = 100.0
        linear.bias.fill_(20.0)
    text, time = module(embeds)
    # empty + (100 · 1 + 20 + position)
    assert text[0].tolist() == [[120.0, 121.0], [123.0, 124.0], [126.0, 127.0], [129.0, 130.0]]
    assert time[0].tolist() == 5 * [-120.0]


def test_empty_caption_is_no_parameter_and_is_saved() -> None:
    module = captioner()
    assert "empty_caption" not in dict(module.named_parameters())
    assert "empty_caption" in module.state_dict()
