# SPDX-License-Identifier: Apache-2.0
"""A small unigram tokenizer in T5's two file formats, and the table of character replacements that both carry."""

import base64
import json
import math
import random
import struct

SPECIAL = ["<pad>", "</s>", "<unk>"]
REPLACEMENTS = {
    "\ufb01": "fi", "\uff21": "A", "\uff42": "b", "\u3000": " ", "\t": " ", "\n": " ", "\u00a0": " ", "e\u0301": "\u00e9", "\u00bd": "1\u20442",
    "\u2460": "1", "\u00ad": "", "\u1100\u1161": "\uac00", "\u212b": "\u00c5", "\u200d": "", "\u2026": "...",
}  # fmt: skip


def pieces():
    """(piece, log probability): letters and random words, some with the word mark, of unequal worth."""
    draw = random.Random(5)
    letters = [chr(code) for code in range(97, 123)] + list("ABC.,-'1") + ["\u00e9", "\u00c5", "\uac00", "\u2044"]
    words = {"\u2581", "\u2581cat", "\u2581a", "cat", "at", "\u2581the", "ing", "\u2581\u00e9t\u00e9", "\u2581fi", "an", "ana", "na"}
    while len(words) < 300:
        words.add(draw.choice(["", "\u2581"]) + "".join(draw.choice("abcdefgt") for _ in range(draw.randint(1, 5))))
    known = dict.fromkeys([*letters, *sorted(words)])
    return [(piece, 0.0) for piece in SPECIAL] + [(piece, round(-2 - 9 * draw.random(), 4)) for piece in known]


def charsmap(replacements=REPLACEMENTS):
    """SentencePiece's precompiled form: a double-array trie in which every node has a block of 256 units of its own."""
    root, texts, units, blocks = {}, b"", {}, 0
    for source, target in replacements.items():
        node = root
        for byte in source.encode():
            node = node.setdefault(byte, {})
        node[None] = len(texts)
        texts += target.encode() + b"\0"
    waiting = [(root, 0)]
    while waiting:
        node, position = waiting.pop()
        blocks += 1
        base = blocks * 256
        units[position] = units.get(position, 0) | (position ^ base) << 10 | (None in node) << 8
        for byte, child in node.items():
            if byte is None:
                units[base] = child | 1 << 31
            else:
                units[base + byte] = byte
                waiting.append((child, base + byte))
    size = (blocks + 1) * 256
    blob = struct.pack(f"<{size}I", *(units.get(place, 0) for place in range(size)))
    return struct.pack("<I", len(blob)) + blob + texts


def write_tokenizer_json(folder, own_pieces=None):
    """As transformers' T5Tokenizer saves itself."""
    from transformers import T5Tokenizer

    T5Tokenizer(vocab=own_pieces or pieces(), _spm_precompiled_charsmap=charsmap()).save_pretrained(folder)
    return folder


def _field(number, kind, payload):
    return _varint(number << 3 | kind) + payload


def _varint(value):
    out = b""
    while value >= 128:
        out += bytes([value % 128 + 128])
        value //= 128
    return out + bytes([value])


def _message(number, payload):
    return _field(number, 2, _varint(len(payload)) + payload)


def write_spiece_model(folder, model_type=1):
    """As SentencePiece saves a model (sentencepiece_model.proto)."""
    folder.mkdir(parents=True, exist_ok=True)
    types = {"<pad>": 3, "</s>": 3, "<unk>": 2}
    out = b""
    for piece, score in pieces():
        body = _message(1, piece.encode()) + _field(2, 5, struct.pack("<f", score))
        out += _message(1, body + (_field(3, 0, _varint(types[piece])) if piece in types else b""))
    out += _message(2, _field(3, 0, _varint(model_type)) + _field(4, 0, _varint(len(pieces()))))
    out += _message(3, _message(1, b"tiny") + _message(2, charsmap()) + _field(3, 0, _varint(1)))
    (folder / "spiece.model").write_bytes(out)
    return folder


def damaged(folder, change):
    """tokenizer.json after `change(json)`."""
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return folder


def cut_charsmap(content):
    table = base64.b64decode(content["normalizer"]["precompiled_charsmap"])
    content["normalizer"]["precompiled_charsmap"] = base64.b64encode(table[: math.ceil(len(table) / 2)]).decode()
