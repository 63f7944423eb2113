"""Words to token ids: any text, never longer than the model reads."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.bundle import SPECIAL, make_bundle

from bucketlens.errors import Misconfigured
from bucketlens.model.tokenize import TextRule, Words

PAD, BEGIN, END = SPECIAL.index("[PAD]"), SPECIAL.index("[BOS]"), SPECIAL.index("[EOS]")


@pytest.fixture(scope="module")
def tokenizer_json(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle")) / "tokenizer.json"


def test_a_text_lies_between_its_begin_and_end_tokens(tokenizer_json: Path) -> None:
    tokens = Words(tokenizer_json, TextRule(16)).tokens("Red cat")
    assert (tokens.ids.dtype, tokens.mask.dtype) == (np.int64, np.int64)
    assert tokens.ids.shape == tokens.mask.shape == (1, 6)
    assert (tokens.ids[0, 0], tokens.ids[0, -1]) == (BEGIN, END)
    assert tokens.mask.all()


def test_a_long_text_is_cut_and_keeps_its_end_token(tokenizer_json: Path) -> None:
    ids = Words(tokenizer_json, TextRule(16)).tokens("red " * 500).ids
    assert ids.shape == (1, 16)
    assert (ids[0, 0], ids[0, -1]) == (BEGIN, END)


def test_a_padded_rule_gives_every_text_the_same_length(tokenizer_json: Path) -> None:
    words = Words(tokenizer_json, TextRule(16, padded=True, pad_id=7))
    for text in ("", "red", "red " * 500):
        tokens = words.tokens(text)
        assert tokens.ids.shape == tokens.mask.shape == (1, 16)
        assert (tokens.ids[tokens.mask == 0] == 7).all()
        assert tokens.ids[0, tokens.mask.sum() - 1] == END


def test_the_padding_is_asked_of_the_tokenizer_when_the_model_does_not_say(tokenizer_json: Path) -> None:
    tokens = Words(tokenizer_json, TextRule(16, padded=True)).tokens("red")
    assert (tokens.ids[0, 3:] == PAD).all()


def test_a_length_fixed_in_the_tokenizer_s_file_is_kept(tokenizer_json: Path, tmp_path: Path) -> None:
    content = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    content["padding"] = {
        "strategy": {"Fixed": 10}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 5, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokens = Words(tmp_path / "tokenizer.json", TextRule(16)).tokens("red")
    assert tokens.ids[0].tolist()[3:] == [5] * 7


def test_the_padding_token_s_name_goes_before_what_the_files_say_of_its_number(tokenizer_json: Path) -> None:
    rule = TextRule(16, padded=True, pad_id=7, pad_token=SPECIAL[1])
    assert (Words(tokenizer_json, rule).tokens("red").ids[0, 3:] == SPECIAL.index("[UNK]")).all()
    unknown = TextRule(16, padded=True, pad_id=7, pad_token="<nothing>")  # noqa: S106
    assert (Words(tokenizer_json, unknown).tokens("red").ids[0, 3:] == 7).all()


def test_padding_may_stand_before_the_words(tokenizer_json: Path) -> None:
    tokens = Words(tokenizer_json, TextRule(6, padded=True, left=True)).tokens("red")
    assert tokens.ids[0].tolist()[:3] == [PAD] * 3
    assert tokens.ids[0].tolist()[3::2] == [BEGIN, END]
    assert tokens.mask.tolist() == [[0, 0, 0, 1, 1, 1]]


def test_a_tower_trained_without_a_mask_sees_its_padding(tokenizer_json: Path) -> None:
    assert Words(tokenizer_json, TextRule(6, padded=True, masked=False)).tokens("red").mask.tolist() == [[1] * 6]


def test_case_is_taken_away_where_the_tokenizer_leaves_that_to_its_caller(tokenizer_json: Path, tmp_path: Path) -> None:
    content = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    content["normalizer"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    kept, lower = (Words(tmp_path / "tokenizer.json", TextRule(16, lowercase=one)) for one in (False, True))
    assert kept.tokens("RED").ids.tolist() != kept.tokens("red").ids.tolist()
    assert lower.tokens("RED").ids.tolist() == lower.tokens("red").ids.tolist() == kept.tokens("red").ids.tolist()
    present = Words(tokenizer_json, TextRule(16, lowercase=True))
    assert present.tokens("ＲＥＤ").ids.tolist() == present.tokens("red").ids.tolist()


GEMMA: dict[str, object] = {"tokenizer_class": "GemmaTokenizer", "pad_token": "<pad>", "model_max_length": 10**30}
CLIP_END: dict[str, object] = {"__type": "AddedToken", "content": "<|endoftext|>", "lstrip": False}
MOBILE: dict[str, object] = {
    "tokenizer_class": "CLIPTokenizer", "eos_token": CLIP_END, "pad_token": "!", "model_max_length": 77
}  # fmt: skip
CLIP: dict[str, object] = {"model_type": "clip", "text_config": {"max_position_embeddings": 77, "pad_token_id": 1}}


@pytest.mark.parametrize(
    ("config", "tokenizer_config", "axis", "expected"),
    [
        (CLIP, {}, None, TextRule(77, pad_id=1)),
        (CLIP, {"pad_token": "<|endoftext|>"}, 77, TextRule(77, True, 1, "<|endoftext|>")),
        (CLIP, {"pad_token": {"content": "!"}, "model_max_length": 64}, None, TextRule(64, False, 1, "!")),
        ({"model_type": "siglip"}, {}, None, TextRule(64, True, masked=False)),
        ({"model_type": "siglip"}, GEMMA, None, TextRule(64, True, None, "<pad>", masked=False, lowercase=True)),
        ({"model_type": "siglip2"}, {**GEMMA, "padding_side": "left"}, 64,
         TextRule(64, True, None, "<pad>", left=True, masked=False, lowercase=True)),
        ({"model_type": "clip"}, {"model_input_names": ["input_ids"]}, None, TextRule(77, masked=False)),
        ({"model_type": "clip"}, MOBILE, None, TextRule(77, True, None, "!")),
        ({"model_type": "clip"}, {**MOBILE, "pad_token": CLIP_END}, None, TextRule(77, False, None, "<|endoftext|>")),
        ({"model_type": "clip", "bucketlens": {"padded": False}}, MOBILE, None, TextRule(77, False, None, "!")),
        ({**CLIP, "bucketlens": {"padded": True}}, {}, None, TextRule(77, True, 1)),
    ],
)  # fmt: skip
def test_the_rule_of_a_family_is_read_from_its_files(
    config: dict[str, object], tokenizer_config: dict[str, object], axis: int | None, expected: TextRule
) -> None:
    assert TextRule.read(config, tokenizer_config, axis, "here") == expected


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(st.characters(codec=None), max_size=80))
def test_any_text_has_tokens(tokenizer_json: Path, text: str) -> None:
    tokens = Words(tokenizer_json, TextRule(16)).tokens(text)
    assert 1 <= tokens.ids.shape[1] <= 16


@pytest.mark.parametrize("text", ["", " ", "🐈‍⬛👩‍👩‍👧", "赤い猫", "\0", "\ud83d", "é" * 10_000])
def test_empty_emoji_cjk_and_broken_texts_have_tokens(tokenizer_json: Path, text: str) -> None:
    ids = Words(tokenizer_json, TextRule(16)).tokens(text).ids
    assert ids[0, -1] == END


def test_a_tokenizer_without_special_tokens_still_gives_the_empty_text_one_token(
    tokenizer_json: Path, tmp_path: Path
) -> None:
    content = json.loads(tokenizer_json.read_text(encoding="utf-8"))
    content["post_processor"] = None
    (tmp_path / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    tokens = Words(tmp_path / "tokenizer.json", TextRule(16)).tokens("")
    assert tokens.ids.tolist() == [[PAD]]
    assert tokens.mask.tolist() == [[1]]


def test_a_file_that_is_no_tokenizer_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(Misconfigured, match=r"tokenizer\.json"):
        Words(tmp_path / "tokenizer.json", TextRule(16))


def test_a_limit_without_room_for_words_is_refused(tokenizer_json: Path) -> None:
    with pytest.raises(Misconfigured, match="2 special tokens"):
        Words(tokenizer_json, TextRule(2))
