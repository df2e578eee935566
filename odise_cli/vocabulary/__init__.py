"""Words to look for: categories, their formats and lint, prompts, and embeddings on disk.

Read `vocabulary.py` (the noun), then `loader.py` (specs → vocabulary), then `specs.py` and
`formats.py`; `cache.py` stands alone. The user's page on all of it is `vocabularies/README.md`.
"""

from odise_cli.vocabulary.cache import TextEmbeddingCache
from odise_cli.vocabulary.checks import check_word_lengths
from odise_cli.vocabulary.loader import lint_word_list, load_vocabulary
from odise_cli.vocabulary.prompt import BARE, PHOTO, fill_template
from odise_cli.vocabulary.specs import bundled_names
from odise_cli.vocabulary.vocabulary import Vocabulary

__all__ = [
    "BARE",
    "PHOTO",
    "TextEmbeddingCache",
    "Vocabulary",
    "bundled_names",
    "check_word_lengths",
    "fill_template",
    "lint_word_list",
    "load_vocabulary",
]
