"""The tokenizer: word pieces learned from the captions, with single characters to fall back on."""

import random
from collections.abc import Iterable

from captions import Speaker
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

PAD, UNKNOWN, START = "[PAD]", "[UNK]", "[CLS]"
_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789'-&.,!?"


def train_tokenizer(speaker: Speaker, size: int = 3000, seed: int = 0) -> Tokenizer:
    """A lower-casing WordPiece tokenizer. Every text, the empty one too, gives at least the start token."""
    tokenizer = Tokenizer(models.WordPiece(unk_token=UNKNOWN, max_input_chars_per_word=60))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True, strip_accents=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=[PAD, UNKNOWN, START], initial_alphabet=list(_CHARACTERS), show_progress=False
    )
    tokenizer.train_from_iterator(_lines(speaker, seed), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, tokenizer.token_to_id(START))]
    )
    return tokenizer


def _lines(speaker: Speaker, seed: int) -> Iterable[str]:
    rng = random.Random(seed)
    yield from speaker.corpus() * 3
    for wnid in speaker.wnids:
        yield from (speaker.of_class(wnid, rng).text for _ in range(30))
    yield from _CHARACTERS
