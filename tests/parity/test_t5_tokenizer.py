# SPDX-License-Identifier: Apache-2.0
"""T5's tokenizer against transformers' T5Tokenizer, from tokenizer.json and from spiece.model."""

import itertools
import pathlib
import random
import sys

import pytest
import torch
from probe import ProbeError, run_probe
from transformers import T5Tokenizer

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from tiny_t5 import cut_charsmap, damaged, write_spiece_model, write_tokenizer_json  # noqa: E402


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tokenizer_json(tmp_path_factory.mktemp("t5") / "json")


def ours(folder, texts, max_length):
    encoded = [text.encode("utf-8") for text in texts]
    ends = torch.tensor(list(itertools.accumulate(map(len, encoded))), dtype=torch.int64)
    joined = torch.frombuffer(bytearray(b"".join(encoded) + b"\0"), dtype=torch.uint8)
    return run_probe("tokenizer", {"text": joined, "ends": ends}, {"folder": str(folder), "max_length": max_length})


def random_texts(count):
    """Strings of known and unknown characters, spaces, marks and special tokens, the same in every run."""
    draw = random.Random(11)
    parts = [*"abcdefgt" * 4, *"xyzABC.,-'1!", " ", " ", " ", "  ", "\t", "\n", "\u00a0", "\u3000", "\u2003", "\ufb01", "e\u0301", "\u0301", "\u00bd",
             "\u1100\u1161", "\u212b", "\u200d", "\u00ad", "\u2026", "\u2581", "</s>", "<pad>", "<unk>", "<extra_id_0>", "<extra_id_99>", "<extra_id_100>",
             "cat", "banana", "\U0001f44d\U0001f3fd", "\u4f60\u597d", "\r\n"]  # fmt: skip
    return ["".join(draw.choice(parts) for _ in range(draw.choice([1, 2, 4, 8, 20, 60]))) for _ in range(count)]


TEXTS = [
    "", " ", "a", "cat", "A cat", "the cat ate bananas", "  two   spaces  ", "fi\ufb01", "\uff21\uff42", "tab\tnew\nline\u3000wide", "e\u0301te\u0301",
    "\u00bd cup", "xyz", "x y z", "!!!", "a!b!!c", "\u2581", "\u2581a\u2581b", "a\u2581b", "</s>", "a</s>b", "<extra_id_5> a <extra_id_5>b", "cat " * 40,
    "soft\u00adhyphen", "\u1100\u1161\u11a8", "\u212bngstr\u00f6m", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u4f60\u597d\uff0c\u4e16\u754c", "a\0b",
]  # fmt: skip


@pytest.mark.parametrize("max_length", [1, 12, 77])
def test_captions_have_transformers_ids(folder, max_length):
    texts = TEXTS + random_texts(1500)
    judge = T5Tokenizer.from_pretrained(str(folder))
    expected = torch.tensor(judge(texts, padding="max_length", truncation=True, max_length=max_length)["input_ids"])
    out = ours(folder, texts, max_length)
    different = [i for i in range(len(texts)) if not torch.equal(out["ids"][i], expected[i])]
    shown = "\n".join(f"{texts[i]!r}\n  {out['ids'][i].tolist()}\n  {expected[i].tolist()}" for i in different[:5])
    assert not different, f"{len(different)} of {len(texts)} differ:\n{shown}"
    whole = [len(ids) for ids in judge(texts)["input_ids"]]
    assert out["lengths"].tolist() == whole
    assert out["truncated"].tolist() == [length > max_length for length in whole]
    assert len({tuple(row) for row in expected.tolist()}) > (1000 if max_length > 1 else 0)


def test_spiece_model_gives_the_ids_of_tokenizer_json(folder, tmp_path):
    texts = TEXTS + random_texts(500)
    from_model, from_json = (ours(place, texts, 40)["ids"] for place in (write_spiece_model(tmp_path / "model"), folder))
    # transformers numbers the sentinels upwards behind the pieces, SentencePiece's T5 downwards.
    first = int(from_json.max()) - 99
    sentinel = from_json >= first
    assert torch.equal(from_model[~sentinel], from_json[~sentinel])
    assert sentinel.any() and torch.equal(from_model[sentinel], 2 * first + 99 - from_json[sentinel])


def refusal(folder, text="a"):
    with pytest.raises(ProbeError) as error:
        ours(folder, [text], 8)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_damaged_files_are_refused_in_one_line(tmp_path):
    def changed(change):
        return refusal(damaged(write_tokenizer_json(tmp_path / "x"), change))

    assert "cut short" in changed(cut_charsmap)
    assert "not base64" in changed(lambda j: j["normalizer"].update(precompiled_charsmap="?"))
    assert "not a unigram" in changed(lambda j: j["model"].update(type="BPE"))
    assert "falls back to bytes" in changed(lambda j: j["model"].update(byte_fallback=True))
    assert "names no unknown piece" in changed(lambda j: j["model"].update(unk_id=None))
    assert "no place among" in changed(lambda j: j["model"].update(unk_id=10**6))
    assert "listed twice" in changed(lambda j: j["model"]["vocab"].append(["cat", -1.0]))
    assert "malformed piece" in changed(lambda j: j["model"]["vocab"].append(["dog"]))
    assert "unsupported normalizer" in changed(lambda j: j.update(normalizer={"type": "Lowercase"}))
    assert "unsupported pre_tokenizer" in changed(lambda j: j.update(pre_tokenizer={"type": "ByteLevel"}))
    assert "has no piece </s>" in changed(lambda j: (j["model"]["vocab"].pop(1), j["added_tokens"].pop(1)))
    assert "has no tokenizer" in refusal(tmp_path)

    model = write_spiece_model(tmp_path / "y") / "spiece.model"
    whole = model.read_bytes()
    for cut in (1, 2, 5, len(whole) // 2, len(whole) - 3):
        model.write_bytes(whole[:cut])
        assert "spiece.model" in refusal(model.parent)
    model.write_bytes(b"\xff" * 40)
    assert "is damaged" in refusal(model.parent)
    assert "not a unigram model" in refusal(write_spiece_model(tmp_path / "z", model_type=2))


def test_text_that_is_not_utf8_is_refused(folder):
    tensors = {"text": torch.tensor([0x61, 0xFF], dtype=torch.uint8), "ends": torch.tensor([2])}
    with pytest.raises(ProbeError, match="not UTF-8 at byte 1"):
        run_probe("tokenizer", tensors, {"folder": str(folder), "max_length": 8})
