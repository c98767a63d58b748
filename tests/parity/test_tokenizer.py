# SPDX-License-Identifier: Apache-2.0
"""Token ids against transformers' CLIPTokenizer, with CLIP's own vocabulary and with small ones trained by tools/."""

import gzip
import importlib.util
import itertools
import json
import os
import pathlib
import random
import subprocess
import sys
import unicodedata

import pytest
import torch
from probe import ROOT, ProbeError, run_probe
from transformers import CLIPTokenizer

os.environ.setdefault("RAYON_NUM_THREADS", "1")
START, END = "<|startoftext|>", "<|endoftext|>"


def clip_merges():
    """The 48,894 merges of CLIP, from the list that open_clip ships."""
    package = pathlib.Path(importlib.util.find_spec("open_clip").origin).parent
    lines = gzip.open(package / "bpe_simple_vocab_16e6.txt.gz").read().decode("utf-8").split("\n")
    return lines[1 : 49408 - 512 - 2 + 1]


def byte_letters():
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(rest))]


def write_folder(folder, style):
    folder.mkdir()
    letters, merges = byte_letters(), clip_merges()
    tokens = letters + [letter + "</w>" for letter in letters] + [m.replace(" ", "") for m in merges] + [START, END]
    assert len(set(tokens)) == 49408
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}, ensure_ascii=False), "utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", "utf-8")
    if style == "bare":
        return folder

    def added(content):
        return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}

    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True, "add_prefix_space": False}
    for key, content in {"bos_token": START, "eos_token": END, "unk_token": END}.items():
        config[key] = {"__type": "AddedToken", **added(content)}
    config["pad_token"] = END
    special = {"bos_token": added(START), "eos_token": added(END), "unk_token": added(END)}
    special["pad_token"] = {"sd1": END, "sd2": "!"}[style]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    return folder


@pytest.fixture(scope="module", params=["bare", "sd1", "sd2"])
def folder(request, tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp(request.param) / "tokenizer", request.param)


def ours(folder, texts):
    encoded = [text.encode("utf-8") for text in texts]
    ends = torch.tensor(list(itertools.accumulate(map(len, encoded))), dtype=torch.int64)
    joined = torch.frombuffer(bytearray(b"".join(encoded) + b"\0"), dtype=torch.uint8)
    return run_probe("tokenizer", {"text": joined, "ends": ends}, {"folder": str(folder)})


def compare(folder, texts, max_length=77):
    judge = CLIPTokenizer.from_pretrained(str(folder))
    expected = torch.tensor(judge(texts, padding="max_length", truncation=True, max_length=max_length)["input_ids"])
    whole = [len(ids) for ids in judge(texts)["input_ids"]]
    out = ours(folder, texts)
    different = [i for i in range(len(texts)) if not torch.equal(out["ids"][i], expected[i])]
    shown = "\n".join(f"{texts[i]!r}\n  {out['ids'][i].tolist()}\n  {expected[i].tolist()}" for i in different[:5])
    assert not different, f"{len(different)} of {len(texts)} differ:\n{shown}"
    assert out["lengths"].tolist() == whole
    assert out["truncated"].tolist() == [length > max_length for length in whole]


HAND_PICKED = [
    "", " ", "\n", "\t \r\n", "a", "A photo of a cat", "  two   spaces  ", "it's we're I'll they've I'm he'd don't",
    "IT'S WE'RE", "rock'n'roll 'tis o'clock ''s '' '", "'\u017f 's\u017f", "1234567890 3.14 1e-5 ½ ² Ⅷ ٣ 一二三 12３",
    "hello!!! ??? ... --- ;-) :D", "!", "!!", "a!b!c", "! !", "hello! world!", "!" * 90, "?" * 300, "x" * 500,
    "antidisestablishmentarianism" * 20, "cat " * 74, "cat " * 75, "cat " * 76, "cat " * 200, "!" * 80 + "end",
    END, START, END + END, END * 80, f"a{END}b", f" {END} ", f"{START}cat{END}", "<|endoftext|", "|endoftext|>",
    "<|EndOfText|>", "<|ENDOFTEXT|>!", "!<|EndOfText|>x", "<|STARTOFTEXT|><|endoftext|>", "<|endoftext |>", "<|end\u00adoftext|>",
    "<|endoftext|>\u0301", "e<|endoftext|>\u0301", "</w>", "cat</w>", "#version: 0.2", "\u0120cat",
    "café", "cafe\u0301", "ÀÉÎÕÜ", "A\u030angstro\u0308m Å Å", "ﬁ ﬂ ﬀ", "ß ẞ", "İstanbul I ı i", "ΑΣ ΟΔΟΣ", "ǅ Ǆ ǆ",
    "Привет, мир", "你好，世界", "こんにちは世界", "ｶﾀｶﾅ カタカナ", "한국어 각 각", "שלום עולם", "مرحبا بالعالم", "ไทย ภาษา", "हिन्दी क्षत्रिय",
    "\u202eright to left\u202c", "a\u200fb\u200ec", "\u2066x\u2069", "👍", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "☃️☃", "1️⃣", "🧑🏿‍🚀🚀",
    "a\u0300\u0301\u0302\u0303\u0304" * 10, "\u0301", "Z̸̢͝ą̷l̶g̵o̴", "q\u0323\u0307 q\u0307\u0323", "\u0344\u0958\u2126\u212a\u212b\ufb1d",
    "a\0b", "\x01\x02\x1b[31m", "a\x7fb", "a\x80\x85\x9fb", "a\x1c\x1d\x1e\x1fb", "a\u00a0b\u2003c\u3000d\u2028e\u2029f\u1680g",
    "a\u180eb\u200bc\u2060d\ufeffe", "\ufeffcat", "\ufffd\ufffe\uffff", "\U0010ffff\U000e0001\U000f0000", "𝒞𝓁𝒾𝓅 𝟙𝟚 𐐀𐐨", "ꭰꮿ ᏸ Ꭰ Ა ა",
    "http://example.com/a?b=c&d=%20#e", "user@example.com", "C:\\path\\file.txt", "<b>bold</b> &amp; &lt;", "{\"k\": [1, 2]}",
    "$€£¥ ±×÷ ©®™ §¶ «» “” ‘’ …", "snake_case camelCase kebab-case __init__", "tabs\tand\nnewlines\r\nhere", "\u00ad soft\u00adhyphen",
]


def random_texts(count):
    """Strings drawn from nasty alphabets, the same in every run."""
    draw = random.Random(20240607)
    category = unicodedata.ucd_3_2_0.category  # newer characters hang on the Unicode version of the libraries on either side
    assigned = [c for c in range(0x30000) if category(chr(c)) not in ("Cn", "Cs", "Co")]
    marks = [c for c in assigned if category(chr(c)) in ("Mn", "Mc", "Me")]
    spaces = [9, 10, 11, 12, 13, 28, 31, 32, 0x85, 0xA0, 0x1680, 0x180E, 0x2003, 0x200B, 0x2028, 0x202F, 0x205F, 0x2060, 0x3000, 0xFEFF]
    emoji = [*range(0x1F300, 0x1F650), 0x200D, 0xFE0F, 0x20E3, *range(0x1F3FB, 0x1F400), *range(0x1F1E6, 0x1F200)]
    ascii_signs = [*range(33, 48), *range(58, 65), *range(91, 97), *range(123, 127)]
    words = ["cat", "Photograph", "'s", "'LL", "don't", "<|endoftext|>", "<|startoftext|>", "<|", "|>", "!", "2024", "é", "ﷺ", "Ǆ"]

    def symbol():
        kind = draw.randrange(9)
        if kind == 0:
            return draw.choice(words)
        pool = [assigned, range(97, 123), range(65, 91), range(48, 58), spaces, marks, emoji, ascii_signs][kind - 1]
        return chr(draw.choice(pool))

    return ["".join(symbol() for _ in range(draw.choice([1, 2, 3, 5, 8, 13, 30, 80]))) for _ in range(count)]


def test_nasty_captions_have_transformers_ids(folder):
    texts = HAND_PICKED + random_texts(1500)
    assert len(texts) >= 1600
    compare(folder, texts)


def test_every_character_of_unicode_3_2_has_transformers_ids(tmp_path):
    category = unicodedata.ucd_3_2_0.category
    characters = [chr(c) for c in range(0x30000) if category(chr(c)) not in ("Cn", "Cs", "Co")]
    assert len(characters) > 90000
    lines = ["".join(f"a{c}b" for c in characters[i : i + 10]) for i in range(0, len(characters), 10)]
    compare(write_folder(tmp_path / "tokenizer", "sd1"), lines)


def test_a_folder_that_transformers_wrote_is_read(folder, tmp_path):
    CLIPTokenizer.from_pretrained(str(folder)).save_pretrained(tmp_path / "again")
    written = sorted(path.name for path in (tmp_path / "again").iterdir())
    assert "tokenizer.json" in written
    texts = HAND_PICKED + random_texts(200)
    judge = CLIPTokenizer.from_pretrained(str(tmp_path / "again"))
    expected = judge(texts, padding="max_length", truncation=True, max_length=77)["input_ids"]
    assert ours(tmp_path / "again", texts)["ids"].tolist() == expected


CAPTIONS = [f"{size} {colour} {thing}'s {place}" for size, colour, thing, place in itertools.product(
    ["big", "small", "tiny"], ["red", "blue", "yellow"], ["cat", "tree", "café", "Rocket"], ["house", "garden", "photograph"])]


@pytest.mark.parametrize("kind", ["lines", "jsonl"])
def test_a_vocabulary_trained_by_the_tool_loads_in_both(kind, tmp_path):
    source = tmp_path / ("metadata.jsonl" if kind == "jsonl" else "captions.txt")
    lines = [json.dumps({"file_name": "x.png", "text": text}) for text in CAPTIONS] if kind == "jsonl" else CAPTIONS
    source.write_text("\n".join(lines) + "\n", "utf-8")
    command = [sys.executable, ROOT / "tools" / "build_tokenizer.py", "--captions", source, "--output", tmp_path / "made"]
    subprocess.run([*command, "--size", "560", "--max-length", "24"], check=True, capture_output=True)
    vocab = json.loads((tmp_path / "made" / "vocab.json").read_text("utf-8"))
    assert vocab[START] == len(vocab) - 2 and vocab[END] == len(vocab) - 1
    assert 520 < len(vocab) <= 560
    compare(tmp_path / "made", CAPTIONS + HAND_PICKED + random_texts(200), max_length=24)
    merges = (tmp_path / "made" / "merges.txt").read_text("utf-8").splitlines()
    assert len(merges) - 1 == len(vocab) - 514  # every merge that fits was learned and none twice


def test_the_vocabulary_of_mini_sd_has_transformers_ids():
    folder = ROOT / "recipes" / "mini-sd" / "tokenizer"
    length = json.loads((folder / "tokenizer_config.json").read_text())["model_max_length"]
    compare(folder, HAND_PICKED + random_texts(300), max_length=length)


def test_a_broken_folder_is_refused_with_its_line(tmp_path):
    folder = write_folder(tmp_path / "tokenizer", "sd1")
    merges = (folder / "merges.txt").read_text("utf-8").splitlines()
    merges[41] = "only-one-token"
    (folder / "merges.txt").write_text("\n".join(merges), "utf-8")
    with pytest.raises(ProbeError, match="merges.txt.*line 42 is not a merge"):
        ours(folder, ["cat"])
