"""The model card, where a model has less to say than the one of the tests of the command."""

from dataclasses import replace

from odise_cli.reports.export import ModelCard

CARD = ModelCard(
    name="mine",
    origin="label",
    licence="cc-by-nc-sa-4.0",
    notice="Only for tests.",
    supervision="label",
    training_words=(),
    is_trained=True,
    num_parameters=1234567,
    precision="fp16",
    form="a folder of weights",
    evaluation={"title": "coco: SUBSET of 3 of 5,000 images", "figures": {"PQ": 1.5, "mAP": None}},
)


def test_published_weights_keep_their_licence():
    text = CARD.to_markdown()
    assert text.startswith("---\nlicense: cc-by-nc-sa-4.0\npipeline_tag: image-segmentation\n")
    assert "## Licence\n\nOnly for tests.\n" in text
    assert (
        "Exported from `label`: 1,234,567 parameters, fp16, label supervision, as a folder of"
        in text
    )


def test_figures_say_what_they_were_measured_on():
    text = CARD.to_markdown()
    title = "coco: SUBSET of 3 of 5,000 images; percentages, before the weights were made fp16."
    assert f"## Figures\n\n{title}\n\n| figure | value |\n|---|---|\n| PQ | 1.50 |\n\n" in text


def test_what_nobody_knows_is_said():
    text = replace(CARD, licence="other", notice="", evaluation=None).to_markdown()
    assert "Nobody has said under which licence these weights are." in text
    assert "Not recorded: no training vocabulary is stored" in text
    assert "Not measured here." in text
    assert "None: the weights are initialised" in replace(CARD, is_trained=False).to_markdown()
    assert "## Licence\n\napache-2.0.\n" in (
        replace(CARD, licence="apache-2.0", notice="").to_markdown()
    )
