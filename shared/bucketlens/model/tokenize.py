"""Words to token ids. The only user of the tokenizers library, which is imported with the first tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bucketlens.errors import Misconfigured

# What an absent text_config.max_position_embeddings means: the defaults of transformers' configuration classes.
_POSITIONS = {"clip": 77, "siglip": 64, "siglip2": 64}
_NO_LIMIT = 100_000  # transformers writes 10^30 into model_max_length when a tokenizer has no limit


@dataclass(frozen=True, slots=True)
class TextRule:
    """How a text tower wants its tokens.

    ``limit`` is the largest number of tokens, special ones included. With ``padded`` every text has exactly ``limit``
    tokens, otherwise as many as tokenizer.json pads to, if it does. Padding is ``pad_token`` where it has a name, else
    what tokenizer.json says, else ``pad_id``; it stands before the words with ``left``. Without ``masked`` the tower
    attends to padding like to words. ``lowercase`` is for tokenizers that leave it to their caller.
    """

    limit: int
    padded: bool = False
    pad_id: int | None = None
    pad_token: str | None = None
    left: bool = False
    masked: bool = True
    lowercase: bool = False

    @classmethod
    def read(
        cls, config: Mapping[str, object], tokenizer_config: Mapping[str, object], axis: int | None, where: str
    ) -> TextRule:
        """The rule of a bundle's config.json and tokenizer_config.json (empty when there is none).

        ``axis`` is the length of the graph's ``input_ids``, None where it is open. A graph of fixed length accepts
        nothing else. SigLIP was trained on texts padded to the limit and without a mask (big_vision). MobileCLIP's text
        towers see the padding too; their bundles say they are CLIP's, but pad with another token than the one that ends
        a text (to CLIP's own towers, which look back only, padding makes no difference). ``bucketlens.padded`` in
        config.json overrides. SigLIP 2 was trained on lower
        case, which its Gemma tokenizer does not make (transformers' Siglip2Tokenizer). Raises Misconfigured, naming
        ``where``, when nothing says the limit.
        """
        family = str(config.get("model_type", ""))
        siglip = family.startswith("siglip")
        text, ours = _inner(config, "text_config"), _inner(config, "bucketlens")
        positions = text.get("max_position_embeddings") or _POSITIONS.get(family)
        lengths = (positions, tokenizer_config.get("model_max_length"))
        limit = axis or min((n for n in lengths if isinstance(n, int) and 0 < n < _NO_LIMIT), default=None)
        if limit is None:
            raise Misconfigured(
                "The model bundle's text_config.max_position_embeddings is not usable.",
                code="bad_bundle",
                value=where,
                remedy="Set it to the number of tokens the text tower reads.",
            )
        name, end = (_content(tokenizer_config.get(token)) for token in ("pad_token", "eos_token"))
        seen = siglip or (family == "clip" and name is not None and end is not None and name != end)
        padded = axis is not None or bool(ours.get("padded", seen))
        pad = text.get("pad_token_id")
        inputs = tokenizer_config.get("model_input_names")
        return cls(
            limit=limit,
            padded=padded,
            pad_id=pad if isinstance(pad, int) and pad >= 0 else None,
            pad_token=name,
            left=tokenizer_config.get("padding_side") == "left",
            masked=not siglip and (not isinstance(inputs, list) or "attention_mask" in inputs),
            lowercase=siglip and str(tokenizer_config.get("tokenizer_class")).startswith(("Gemma", "Siglip2")),
        )


@dataclass(frozen=True, slots=True)
class Tokens:
    """One text: ``ids`` and ``mask``, both int64 (1, n), n at least 1. The mask is 0 at padding to be ignored."""

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
        self._rule, self._pad_id = rule, _pad_id(tokenizer, rule)
        fixed = (tokenizer.padding or {}).get("length") or 1
        self._length = rule.limit if rule.padded else min(fixed, rule.limit)
        tokenizer.no_padding()
        tokenizer.enable_truncation(max_length=rule.limit)  # counts special tokens, so the end token stays
        if rule.lowercase:
            _lowercase(tokenizer)
        self._tokenizer = tokenizer

    def tokens(self, text: str) -> Tokens:
        """The tokens of any text, the empty one included: cut to the limit, with its end token. Never fails."""
        readable = text.encode("utf-8", "replace").decode("utf-8")  # JSON can smuggle in half a surrogate pair
        ids = list(self._tokenizer.encode(readable).ids)
        missing = max(0, self._length - len(ids))
        padding, mask = [self._pad_id] * missing, [1] * len(ids)
        ignored = [0] * missing if self._rule.masked and ids else [1] * missing
        if self._rule.left:
            ids, mask = padding + ids, ignored + mask
        else:
            ids, mask = ids + padding, mask + ignored
        return Tokens(ids=np.array([ids], np.int64), mask=np.array([mask], np.int64))


def _pad_id(tokenizer: Any, rule: TextRule) -> int:
    named = None if rule.pad_token is None else tokenizer.token_to_id(rule.pad_token)
    declared = tokenizer.padding
    found = named if declared is None or named is not None else declared["pad_id"]
    if found is None:
        known = (tokenizer.token_to_id(name) for name in ("<pad>", "[PAD]", "<|endoftext|>", "</s>"))
        found = rule.pad_id if rule.pad_id is not None else next((n for n in known if n is not None), 0)
    return int(found)


def _lowercase(tokenizer: Any) -> None:
    from tokenizers import normalizers  # noqa: TID251

    lower, present = normalizers.Lowercase(), tokenizer.normalizer
    tokenizer.normalizer = lower if present is None else normalizers.Sequence([lower, present])


def _content(token: object) -> str | None:
    """A token of tokenizer_config.json, which is a text or an object with one."""
    content = token.get("content") if isinstance(token, Mapping) else token
    return content if isinstance(content, str) else None


def _inner(config: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = config.get(name)
    return value if isinstance(value, Mapping) else {}
