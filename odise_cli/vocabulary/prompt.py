"""Prompt templates: the sentence that a word is put into before it is embedded.

Knows nothing of encoders; which template a classifier wants is the engine's business.
"""

BARE = "{}"
"""The word alone: the label-supervised head was trained with it."""
PHOTO = "a photo of a {}."
"""The caption-supervised head and CLIP as mask classifier; the longest template in use."""


def fill_template(template: str, word: str) -> str:
    """The text that the encoder sees; braces inside the word are left alone."""
    return template.replace("{}", word)
