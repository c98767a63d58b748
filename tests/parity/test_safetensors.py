# SPDX-License-Identifier: Apache-2.0
"""Our safetensors reader and writer against the reference implementation."""

import importlib.util
import json
import math
import pathlib

import pytest
import safetensors
import torch
from safetensors import safe_open

from probe import run_probe

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "hostile" / "safetensors"
VERDICTS = json.loads((FOLDER / "verdicts.json").read_text())


def breaks_a_stricter_rule(content):
    """Whether the header of a file that the reference takes has what ours refuses on purpose: a key given twice at any depth,
    a tensor name that is empty or holds a control character, non-zero sizes that multiply past 2^48."""
    duplicates = []

    def keep(pairs):
        keys = [key for key, _ in pairs]
        duplicates.extend(key for key in keys if keys.count(key) > 1)
        return dict(pairs)

    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")], object_pairs_hook=keep)
    tensors = {name: tensor for name, tensor in header.items() if name != "__metadata__"}
    return bool(duplicates) or any(
        name == "" or any(ord(c) < 0x20 or ord(c) == 0x7F for c in name) or math.prod(n for n in tensor["shape"] if n) > 2**48
        for name, tensor in tensors.items()
    )


def reference_accepts(content):
    try:
        safetensors.deserialize(content)
    except safetensors.SafetensorError:
        return False
    return True


def our_reasons(files):
    """For each file's bytes None (accepted) or the reason of the refusal."""
    joined = b"".join(files)
    tensors = {
        "bytes": torch.frombuffer(bytearray(joined), dtype=torch.uint8),
        "sizes": torch.tensor([len(content) for content in files], dtype=torch.int64),
    }
    return json.loads(bytes(run_probe("safetensors_verdicts", tensors)["report"].tolist()))


def test_the_generator_gives_the_committed_files(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("cases", FOLDER.parent / "make_safetensors_cases.py")
    cases = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cases)
    before = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert len(before) == 44
    monkeypatch.setattr(cases, "FOLDER", tmp_path)
    cases.main()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", VERDICTS)
def test_the_reference_gives_its_recorded_verdict(name):
    assert reference_accepts((FOLDER / name).read_bytes()) == (VERDICTS[name]["reference"] == "accept")


def test_flipping_or_deleting_any_byte_gives_the_reference_verdict_or_a_stricter_one():
    mutants = []
    for name in VERDICTS:
        content = (FOLDER / name).read_bytes()
        for i in range(len(content)):
            mutants.append((name, i, content[:i] + content[i + 1 :]))
            for flip in (0x01, 0x02, 0x08, 0x20, 0x80, 0xFF):
                mutants.append((name, i, content[:i] + bytes([content[i] ^ flip]) + content[i + 1 :]))
    reasons = our_reasons([content for _, _, content in mutants])
    accepted = 0
    for (name, i, content), reason in zip(mutants, reasons):
        accepted += reason is None
        if reference_accepts(content) != (reason is None):
            assert reason is not None, f"{name}, byte {i}: only we accept {content!r}"
            assert breaks_a_stricter_rule(content), f"{name}, byte {i}: only we refuse {content!r}: {reason}"
    assert 100 < accepted < len(mutants) / 2  # the mutants probe both sides


def test_nesting_has_the_reference_limit():
    def nested(arrays):
        header = '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"note":' + "[" * arrays + "]" * arrays + "}}"
        return len(header).to_bytes(8, "little") + header.encode() + bytes(4)

    depths = (1, 60, 124, 125, 126, 127, 200)
    files = [nested(arrays) for arrays in depths]
    assert [reason is None for reason in our_reasons(files)] == [reference_accepts(content) for content in files]


DTYPES = (
    "BOOL U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 U32 F32 I64 U64 F64 C64 F4 F6_E2M3 F6_E3M2"
).split()
BITS = {"BOOL": 8, "BF16": 16, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6}


def bits(dtype):
    if dtype in BITS:
        return BITS[dtype]
    return 8 if dtype.startswith("F8") else int(dtype.lstrip("UIFC"))


def test_the_reference_reads_every_element_type_we_write(tmp_path):
    path = tmp_path / "ours.safetensors"
    data = torch.arange(64, dtype=torch.uint8)
    run_probe("safetensors_write", {"bytes": data}, {"path": str(path), "dtypes": DTYPES})
    content = path.read_bytes()
    assert int.from_bytes(content[:8], "little") % 8 == 0
    read = dict(safetensors.deserialize(content))
    assert sorted(read) == sorted(DTYPES)
    for dtype, tensor in read.items():
        assert tensor["dtype"] == dtype
        assert tensor["shape"] == [8]
        assert bytes(tensor["data"]) == bytes(data.tolist())[: bits(dtype)]
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"unicode": 'é"\\\n'}
