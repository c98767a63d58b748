#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains a small BPE vocabulary on captions and writes it in the layout of CLIP's tokenizer.

    tools/build_tokenizer.py --captions out/corpus/metadata.jsonl --output recipes/mini-sd/tokenizer --size 3072

The ids stand in CLIP's order: 256 byte letters, the same with the end-of-word mark, one token a merge, then
<|startoftext|> and <|endoftext|>. Needs the `tokenizers` package.
"""

import argparse
import json
import pathlib
import unicodedata

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
SPLIT = r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"""


def byte_letters():
    """The printable stand-in of every byte, in the order CLIP numbers them."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)]
    rest = [byte for byte in range(256) if byte not in printable]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(len(rest))]


def read_captions(path):
    """Texts of a metadata.jsonl (key "text"), or the lines of any other file."""
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines if line.strip()] if str(path).endswith(".jsonl") else lines
    return [unicodedata.normalize("NFC", text) for text in texts]


def learned_merges(texts, count):
    """Up to `count` merges as pairs of tokens, the most useful first."""
    letters = byte_letters()
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(letters) + count,
        initial_alphabet=letters,
        end_of_word_suffix=WORD_END,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in merges][:count]


def write_tokenizer(folder, merges, max_length):
    letters = byte_letters()
    tokens = letters + [letter + WORD_END for letter in letters] + ["".join(merge) for merge in merges] + [START, END]
    if len(set(tokens)) != len(tokens):
        raise SystemExit("two merges give one token")
    folder.mkdir(parents=True, exist_ok=True)

    def write(name, value):
        (folder / name).write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")

    (folder / "vocab.json").write_text(
        json.dumps({token: index for index, token in enumerate(tokens)}, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges), encoding="utf-8"
    )
    special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
    write("special_tokens_map.json", special)
    write(
        "tokenizer_config.json",
        {
            "tokenizer_class": "CLIPTokenizer",
            "model_max_length": max_length,
            "do_lower_case": True,
            "add_prefix_space": False,
            **special,
        },
    )
    return len(tokens)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", action="append", required=True, help="metadata.jsonl or a text file; repeat for more")
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--size", type=int, default=4096, help="most tokens in the vocabulary")
    parser.add_argument("--max-length", type=int, default=77, help="tokens of a padded caption")
    arguments = parser.parse_args()
    texts = [text for path in arguments.captions for text in read_captions(path)]
    merges = learned_merges(texts, arguments.size - 514)
    size = write_tokenizer(arguments.output, merges, arguments.max_length)
    print(f"{size} tokens from {len(texts)} captions in {arguments.output}")


if __name__ == "__main__":
    main()
