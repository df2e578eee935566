"""One of the paper's ablations in miniature: heads trained and scored, a Markdown table printed.

    python -m ablations.run features --out runs/ablations
    python -m ablations.run classifier --own-head --out runs/ablations-of-tiny

Every arm is `odise train` with ablations/head.toml on a variant of the model's frozen parts, then
`odise evaluate` on held-out pictures. Heads that several ablations share are trained once in --out.
With --own-head nothing is trained: the arms are scored with the head that the model has.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ablations.arms import ABLATIONS, Arm
from ablations.commands import odise
from ablations.pictures import HELD_OUT, TRAINING, draw_pictures, write_seen
from ablations.variants import write_variant
from odise_cli.errors import OdiseError, UsageError

_RECIPE = Path(__file__).with_name("head.toml")
_FIGURES = ("PQ seen", "PQ unseen", "PQ", "mIoU")
_TRAINING = ("seed", "steps", "seconds")


def main(argv: Sequence[str] | None = None) -> int:
    """Train and score every arm, print the table, write it below --out; the exit code."""
    wanted = _parse(argv)
    wanted.pictures = wanted.pictures or wanted.out / "pictures"
    try:
        if wanted.own_head:
            wanted.scenes = 0
            _refuse_arms_of_other_heads(wanted.name)
        if wanted.pictures == wanted.out / "pictures":
            sizes = {"scenes": wanted.scenes, "held_out": wanted.held_out, "size": wanted.size}
            draw_pictures(wanted.pictures, **sizes)
        if not wanted.own_head:
            wanted.seen = write_seen(wanted.pictures, wanted.out / "seen.json")
        rows = [_row(arm, wanted) for arm in ABLATIONS[wanted.name]]
    except OdiseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    columns = ("", *_FIGURES, *(() if wanted.own_head else _TRAINING))
    table = _markdown([columns, ("---",) * len(columns), *rows])
    (wanted.out / f"{wanted.name}.md").write_text(table, encoding="utf-8")
    print(table, end="")
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=ABLATIONS)
    parser.add_argument("--out", type=Path, required=True, help="may serve several ablations")
    parser.add_argument("--model", default="tiny", help="whose frozen parts are used")
    parser.add_argument("--own-head", action="store_true", help="train none, score the model's")
    parser.add_argument("--pictures", type=Path, help="train/ and held-out/ as odise draw has them")
    parser.add_argument("--scenes", type=int, default=4000, help="drawn to train on")
    parser.add_argument("--held-out", type=int, default=200, help="drawn to score on")
    parser.add_argument("--size", default="256x256", help="of drawn pictures")
    parser.add_argument("--recipe", type=Path, default=_RECIPE)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1, help="of heads and training")
    parser.add_argument("--set", action="append", default=[], help="as odise train has it")
    parser.add_argument("--device", default="auto")
    return parser.parse_args(argv)


def _refuse_arms_of_other_heads(name: str) -> None:
    """Refuse an ablation whose arms differ in what a head is trained on, or how."""
    if any(arm.frozen or arm.recipe for arm in ABLATIONS[name]):
        of_one_head = [
            other
            for other, arms in ABLATIONS.items()
            if not any(a.frozen or a.recipe for a in arms)
        ]
        raise UsageError(
            f"--own-head: {name} compares heads that were trained differently. Expected "
            f"{' or '.join(of_one_head)}. Leave out --own-head to train them."
        )


def _row(arm: Arm, wanted: argparse.Namespace) -> tuple[str, ...]:
    if wanted.own_head:
        return (arm.title, *_figures(_score(arm, wanted.model, wanted)))
    run = _train(arm, wanted)
    training = json.loads((run / "report.json").read_text(encoding="utf-8"))
    # Of a run that was interrupted the time of its last part is known only.
    seconds = "–" if training["num_steps_before"] else str(round(training["seconds"]))
    figures = _figures(_score(arm, str(run), wanted))
    return (arm.title, *figures, str(wanted.seed), str(wanted.steps), seconds)


def _figures(report: dict[str, Any]) -> list[str]:
    # By the exact name: the training words are names of the very same categories.
    split = report["seen_split"]["exact_name"]
    figures = (
        split["seen"]["PQ"],
        split["unseen"]["PQ"],
        report["figures"]["PQ"],
        report["figures"]["mIoU"],
    )
    return ["–" if figure is None else f"{figure:.1f}" for figure in figures]


def _train(arm: Arm, wanted: argparse.Namespace) -> Path:
    """The folder of the arm's trained head; what an earlier run has not finished is trained."""
    name = _slug({**arm.frozen, **arm.recipe, "seed": wanted.seed, "steps": wanted.steps})
    run = wanted.out / "heads" / name
    frozen = write_variant(wanted.model, wanted.out / "frozen" / name, arm.frozen, has_head=False)
    settings = {
        "model": str(frozen.resolve()),
        "steps": wanted.steps,
        "seed": wanted.seed,
        "data.annotations": str(wanted.seen.resolve()),
        "data.vocab": [str(wanted.seen.resolve())],
        **arm.recipe,
    }
    changes = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    sets = [word for change in (*changes, *wanted.set) for word in ("--set", change)]
    data = ["--data", str(wanted.pictures / TRAINING), "--device", wanted.device]
    # What is finished is not trained again; a dry run refuses it if it had another recipe.
    is_finished = ["--dry-run"] if (run / "report.json").exists() else []
    words = ["--recipe", str(wanted.recipe), *data, *sets, "--out", str(run), "--resume"]
    odise("train", *words, *is_finished)
    return run


def _score(arm: Arm, model: str, wanted: argparse.Namespace) -> dict[str, Any]:
    """The report of the arm's held-out pictures, with the head that the model has."""
    out = wanted.out / "scores" / f"{wanted.name}-{_slug({'': arm.title, 'of': Path(model).name})}"
    if arm.scored:
        model = str(write_variant(model, out / "model", arm.scored, has_head=True))
    fusion = []
    if arm.alpha_beta is not None:
        fusion = ["--alpha", str(arm.alpha_beta), "--beta", str(arm.alpha_beta)]
    truth = wanted.pictures / HELD_OUT
    odise(
        *("evaluate", "--dataset", "coco-panoptic", "--model", model, *fusion),
        *("--annotations", str(truth / "panoptic.json"), "--masks", str(truth / "panoptic")),
        *("--images", str(truth / "images"), "--out", str(out), "--device", wanted.device),
    )
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return report


def _slug(settings: dict[str, object]) -> str:
    """A folder's name that tells settings apart."""
    return "-".join(re.sub(r"\W+", "-", f"{k} {v}").strip("-") for k, v in settings.items())


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
