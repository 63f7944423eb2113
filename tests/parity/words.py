"""Tokenizers of the three kinds, trained on a few lines when they are needed: files as repositories have them.

CLIP: byte-level BPE with ``</w>``. SigLIP: a SentencePiece unigram model, and the tokenizer.json that says the same.
SigLIP 2: Gemma's BPE with byte fallback. Only the vocabularies are small; the pipelines are those of the real files.
"""

from __future__ import annotations

import io
import json
import re
import string
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import (  # noqa: TID251
    AddedToken,
    Regex,
    Tokenizer,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

LINES = (
    "a photo of a cat", "a photo of two dogs running on the beach", "an aerial view of a city at night",
    "the red car is parked in front of an old house", "a close-up of a flower, with dew", "people at a market in 2024",
    "a painting of the sea in the style of the 1890s", "black and white portrait of a woman's face", "it's raining",
    "eine Katze auf dem Dach", "un café près de la gare", "niño jugando al fútbol", "зимний лес и река", "η θάλασσα",
    "赤い猫と黒い犬", "一张海滩的照片", "고양이 사진", "صورة قطة", "तस्वीर", "100% cotton t-shirt, size 42!",
    "snow on mountains under a clear sky", "children playing football in the park", "a plate of food on a wooden table",
)  # fmt: skip

TEXTS = (
    "", " ", "\t\n  ", "a", "cat", "A Photo Of Two DOGS", "  spaces   between\twords\n", "it's 2024, isn't it?!",
    "don't DON'T we'll I'd they've you're", "hello-world (100%) #tag @user http://example.com/?q=1&r=2",
    "\N{CAT}", "\N{CAT}\N{ZERO WIDTH JOINER}\N{BLACK LARGE SQUARE} cats \N{PARTY POPPER}\N{PARTY POPPER}", "赤い猫",
    "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{WOMAN}\N{ZERO WIDTH JOINER}\N{GIRL}", "一张海滩的照片，很美。", "고양이",
    "صورة قطة", "तस्वीर", "Ünïcödé ÉCOLE straße İstanbul ΣΊΣΥΦΟΣ", "cafe\u0301 café", "ﬁligree ① ½ ㎏",
    "zero\u200bwidth", "\u00a0nbsp\u2003wide\u3000ideographic", "<|endoftext|>", "<|startoftext|> a cat",
    "</s> end <pad> <eos>", "x" * 300, "a photo of a cat " * 40, "猫" * 200, "\N{CAT}" * 100, "0123456789" * 12,
    "word " * 75, "word " * 76, "word " * 77, "...", "▁underline▁", "\x00\x07",
)  # fmt: skip
"""Texts to tokenise: empty, blank, mixed case, contractions, emoji, scripts, special tokens written out, too long."""

BEYOND_A_FILE = frozenset({"Ünïcödé ÉCOLE straße İstanbul ΣΊΣΥΦΟΣ", "</s> end <pad> <eos>"})
"""Two of them that SigLIP's tokenizer in Python treats as no tokenizer.json can: it lower-cases a sigma by its place in
the word, and gives no space to a word after a special token."""


def write_clip(folder: Path, pad: str) -> None:
    """tokenizer.json and tokenizer_config.json of CLIP; ``pad`` is the padding token (a token of the vocabulary)."""
    learned = Tokenizer(models.BPE(end_of_word_suffix="</w>", continuing_subword_prefix=""))
    learned.normalizer, learned.pre_tokenizer = _clip_normalizer(), _clip_split()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        end_of_word_suffix="</w>",
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learned.train_from_iterator(LINES, trainer)
    merges = _merges(learned)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = ["!", *(one for one in alphabet if one != "!"), *(f"{one}</w>" for one in alphabet)]
    tokens += ["".join(pair) for pair in merges]
    tokens = list(dict.fromkeys([*tokens, "<|startoftext|>", "<|endoftext|>"]))
    numbers = {token: number for number, token in enumerate(tokens)}
    begin, end = "<|startoftext|>", "<|endoftext|>"
    tokenizer = Tokenizer(
        models.BPE(numbers, merges, unk_token=end, end_of_word_suffix="</w>", continuing_subword_prefix="")
    )
    tokenizer.normalizer, tokenizer.pre_tokenizer = _clip_normalizer(), _clip_split()
    tokenizer.post_processor = processors.RobertaProcessing(
        (end, numbers[end]), (begin, numbers[begin]), trim_offsets=False, add_prefix_space=False
    )
    tokenizer.add_special_tokens(
        [AddedToken(begin, special=True, normalized=True), AddedToken(end, special=True, normalized=False)]
    )
    tokenizer.add_special_tokens([AddedToken(pad, special=True, normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_config(
        folder,
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": 77,
            "bos_token": begin,
            "eos_token": {"__type": "AddedToken", "content": end, "special": True},
            "unk_token": end,
            "pad_token": pad,
            "do_lower_case": True,
        },
    )


def write_siglip(folder: Path) -> None:
    """spiece.model, and the tokenizer.json that repositories of ONNX models derive from it."""
    stream = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([re.sub(r"[^\w\s]", "", line).lower() for line in LINES] * 4),
        model_writer=stream,
        model_type="unigram",
        vocab_size=360,
        hard_vocab_limit=False,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(stream.getvalue())
    proto = sentencepiece_model_pb2.ModelProto.FromString(stream.getvalue())
    tokenizer = Tokenizer(models.Unigram([(one.piece, one.score) for one in proto.pieces], unk_id=2))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("▁", " "),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            normalizers.Precompiled(proto.normalizer_spec.precompiled_charsmap),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer.add_special_tokens(
        [AddedToken(token, lstrip=True, rstrip=True, normalized=False) for token in ("</s>", "<unk>")]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_config(
        folder,
        {
            "tokenizer_class": "SiglipTokenizer",
            "model_max_length": 64,
            "eos_token": "</s>",
            "pad_token": "</s>",
            "unk_token": "<unk>",
            "do_lower_case": True,
            "model_input_names": ["input_ids"],
        },
    )


def write_gemma(folder: Path) -> None:
    """tokenizer.json and tokenizer_config.json of SigLIP 2: no limit, no lower case, as its checkpoints have them."""
    learned = Tokenizer(models.BPE())
    learned.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="never", split=True)
    learned.train_from_iterator(
        [line.lower() for line in LINES], trainers.BpeTrainer(vocab_size=700, show_progress=False)
    )
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    tokens = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *sorted(learned.get_vocab())]
    numbers = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(
        models.BPE(numbers, _merges(learned), unk_token=special[3], fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A:0 <eos>:0", pair="$A:0 <eos>:0 $B:1 <eos>:1", special_tokens=[("<eos>", 1)]
    )
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    tokenizer.save(str(folder / "tokenizer.json"))
    _write_config(
        folder,
        {
            "tokenizer_class": "GemmaTokenizer",
            "model_max_length": 1000000000000000019884624838656,
            "padding_side": "right",
            "add_bos_token": False,
            "add_eos_token": True,
            "bos_token": "<bos>",
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
        },
    )


def _clip_normalizer() -> normalizers.Normalizer:
    return normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])


def _clip_split() -> pre_tokenizers.PreTokenizer:
    words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def _merges(tokenizer: Tokenizer) -> list[tuple[str, str]]:
    return [(first, second) for first, second in json.loads(tokenizer.to_str())["model"]["merges"]]


def _write_config(folder: Path, values: dict[str, object]) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps(values, indent=1, ensure_ascii=False), encoding="utf-8")
