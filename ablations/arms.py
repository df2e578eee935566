"""What each ablation compares: its arms, and how each differs from the model as published."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One row of a table."""

    title: str
    frozen: Mapping[str, object] = field(default_factory=dict)
    """Changes of `odise.json` before a head is trained."""
    recipe: Mapping[str, object] = field(default_factory=dict)
    """Changes of the recipe."""
    scored: Mapping[str, object] = field(default_factory=dict)
    """Changes of `odise.json` after a head was trained."""
    alpha_beta: float | None = None
    """Weight of CLIP's classifier for all categories; None is the model's own two."""


ABLATIONS: Mapping[str, tuple[Arm, ...]] = {
    "features": (
        Arm(title="diffusion features"),
        Arm(title="CLIP features", frozen={"features": "clip"}),
    ),
    "captioner": (
        Arm(title="implicit captioner"),
        # The gates of a new head are closed: frozen, the caption stays that of the empty text.
        Arm(title="empty text", recipe={"freeze_captioner": True}),
    ),
    "timestep": (
        Arm(title="t = 0"),
        *(Arm(title=f"t = {t}", frozen={"timestep": t}) for t in (100, 200, 500)),
    ),
    "classifier": (
        Arm(title="both, fused"),
        Arm(title="diffusion features' alone", alpha_beta=0.0),
        Arm(title="CLIP's alone", alpha_beta=1.0),
    ),
    "pooling": (
        Arm(title="mask pooling, fused"),
        Arm(title="cropping, fused", scored={"clip_masks": "cropped"}),
        Arm(title="mask pooling, CLIP's classifier alone", alpha_beta=1.0),
        Arm(
            title="cropping, CLIP's classifier alone",
            scored={"clip_masks": "cropped"},
            alpha_beta=1.0,
        ),
    ),
}
"""By name on the command line. The first arm is always the model as published."""
