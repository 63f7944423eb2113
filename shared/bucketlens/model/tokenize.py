"""Words to token ids. The only user of the tokenizers library, which is imported with the first tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bucketlens.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class TextRule:
    """How a text tower wants its tokens.

    ``limit`` is the largest number of tokens, special ones included. With ``padded`` every text has exactly ``limit``
    tokens, otherwise as many as tokenizer.json pads to, if it does. ``pad_id`` is the id of the padding, or None to ask
    tokenizer.json.
    """

    limit: int
    padded: bool = False
    pad_id: int | None = None


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text: ``ids`` and ``mask``, both int64 (1, n), n at least 1. The mask is 0 at padding."""

    ids: npt.NDArray[np.int64]
    mask: npt.NDArray[np.int64]


class Words:
    """The tokenizer of a bundle. Safe to use from many threads."""

    def __init__(self, tokenizer_json: Path, rule: TextRule) -> None:
        """Reads the file. Raises Misconfigured when it is no tokenizer, or leaves no room for words in the limit."""
        from tokenizers import Tokenizer  # noqa: TID251

        try:
            tokenizer = Tokenizer.from_str(tokenizer_json.read_text(encoding="utf-8"))
        except Exception as error:  # the library raises nothing more precise
            raise Misconfigured(
                "The bundle's tokenizer cannot be read.",
                code="bad_tokenizer",
                value=f"{tokenizer_json}: {error}",
                remedy="Use the tokenizer.json that was exported with the model.",
            ) from error
        special = tokenizer.num_special_tokens_to_add(is_pair=False)
        if rule.limit <= special:
            raise Misconfigured(
                f"A limit of {rule.limit} tokens leaves no room for words beside {special} special tokens.",
                code="bad_tokenizer",
                value=str(tokenizer_json),
                remedy="Correct text_config.max_position_embeddings in config.json.",
            )
        self._pad_id = _pad_id(tokenizer, rule)
        fixed = (tokenizer.padding or {}).get("length") or 1
        self._length = rule.limit if rule.padded else min(fixed, rule.limit)
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=rule.limit)  # counts special tokens, so the end token stays
        self._tokenizer = tokenizer

    def tokens(self, text: str) -> Tokens:
        """The tokens of any text, the empty one included: cut to the limit, with its end token. Never fails."""
        readable = text.encode("utf-8", "replace").decode("utf-8")  # JSON can smuggle in half a surrogate pair
        ids = list(self._tokenizer.encode(readable).ids)
        missing = max(0, self._length - len(ids))
        mask = [1] * (len(ids) or 1)
        return Tokens(
            ids=np.array([ids + [self._pad_id] * missing], np.int64),
            mask=np.array([(mask + [0] * missing)[: len(ids) + missing]], np.int64),
        )


def _pad_id(tokenizer: Any, rule: TextRule) -> int:
    if rule.pad_id is not None:
        return rule.pad_id
    declared = tokenizer.padding
    if declared is not None:
        return int(declared["pad_id"])
    known = (tokenizer.token_to_id(name) for name in ("<pad>", "[PAD]", "<|endoftext|>", "</s>"))
    return next((number for number in known if number is not None), 0)
