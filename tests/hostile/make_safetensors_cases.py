# SPDX-License-Identifier: Apache-2.0
"""Writes the safetensors conformance files and verdicts.json beside this script, in safetensors/.

Each case is (name, raw header bytes, number of zero data bytes, our verdict, the reference's verdict, words of our message).
Everything is under 500 bytes and made from this table alone, so running the script again changes nothing.
"""

import json
import pathlib
import struct

FOLDER = pathlib.Path(__file__).resolve().parent / "safetensors"


def tensor(dtype, shape, begin, end):
    return f'{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'


ONE = tensor("F32", "[1]", 0, 4)  # the tensor most cases hold
A = f'"a":{ONE}'


def rejected(name, header, data, reason, length=None):
    return (name, header, data, "reject", "reject", reason, length)


def stricter(name, header, data, reason):
    return (name, header, data, "reject", "accept", reason, None)


def accepted(name, header, data):
    return (name, header, data, "accept", "accept", "", None)


CASES = [
    rejected("overlap", f'{{"a":{tensor("F32", "[2]", 0, 8)},"b":{tensor("F32", "[2]", 4, 12)}}}', 12, "overlap another tensor"),
    rejected("hole", f'{{"a":{ONE},"b":{tensor("F32", "[1]", 8, 12)}}}', 12, "leave a hole"),
    rejected("first_not_zero", f'{{"a":{tensor("F32", "[1]", 4, 8)}}}', 8, "leave a hole"),
    rejected("trailing_byte", f"{{{A}}}", 5, "1 bytes behind the last tensor"),
    rejected("truncated", f'{{"a":{tensor("F32", "[2]", 0, 8)}}}', 7, "1 bytes missing of 70 declared; interrupted download?"),
    rejected("shape_overflow", f'{{"a":{tensor("F32", "[4294967296,4294967296]", 0, 0)}}}', 0, "past 2^48 elements"),
    rejected("empty_file", None, 0, "is no safetensors file"),
    rejected("header_length_zero", "", 0, "not valid JSON"),
    rejected("root_array", "[]", 0, "the header is no object"),
    rejected("duplicate_field", '{"a":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}}', 4, 'key "dtype" appears twice'),
    rejected("duplicate_metadata", f'{{"__metadata__":{{"k":"1"}},"__metadata__":{{"k":"2"}},{A}}}', 4, 'key "__metadata__" appears twice'),
    rejected("metadata_number", f'{{"__metadata__":{{"k":1}},{A}}}', 4, "expected a string, got a number"),
    rejected("unknown_dtype", f'{{"a":{tensor("F33", "[1]", 0, 4)}}}', 4, 'unknown dtype "F33"'),
    rejected("negative_dim", f'{{"a":{tensor("F32", "[-1]", 0, 4)}}}', 4, "shape (expected whole numbers, got a negative number"),
    rejected("fractional_dim", f'{{"a":{tensor("F32", "[1.0]", 0, 4)}}}', 4, "shape (expected whole numbers, got a number that is not"),
    rejected("exponent_dim", f'{{"a":{tensor("F32", "[1e0]", 0, 4)}}}', 4, "shape (expected whole numbers, got a number that is not"),
    rejected("string_dim", '{"a":' + tensor("F32", '["1"]', 0, 4) + "}", 4, "shape (expected whole numbers, got a string"),
    rejected("three_offsets", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4,4]}}', 4, "data_offsets (expected 2 numbers, got 3"),
    rejected("begin_after_end", f'{{"a":{tensor("F32", "[1]", 4, 0)}}}', 4, "run backwards"),
    rejected("bom", b"\xef\xbb\xbf" + f"{{{A}}}".encode(), 4, "byte order mark"),
    rejected("bad_utf8", b'{"\xff":' + ONE.encode() + b"}", 4, "not valid JSON"),
    rejected("lone_surrogate", f'{{"\\ud800":{ONE}}}', 4, "not valid JSON"),
    rejected("nul_padding", f"{{{A}}}\0\0\0", 4, "NUL byte"),
    rejected("trailing_comma", f"{{{A},}}", 4, "not valid JSON"),
    rejected("nested_200", '{"a":' + "[" * 200 + "]" * 200 + "}", 0, "expected an object, got an array"),
    rejected("length_over_cap", f"{{{A}}}", 4, "expected a header of at most 100000000 bytes, got 100000001", 100000001),
    rejected("length_2_63", f"{{{A}}}", 4, "got 9223372036854775808", 2**63),
    rejected("missing_shape", '{"a":{"dtype":"F32","data_offsets":[0,4]}}', 4, 'tensor "a" lacks shape'),
    stricter("duplicate_tensor", f"{{{A},{A}}}", 4, 'key "a" appears twice'),
    stricter("duplicate_meta_key", f'{{"__metadata__":{{"k":"1","k":"2"}},{A}}}', 4, 'key "k" appears twice'),
    accepted("metadata_null", f'{{"__metadata__":null,{A}}}', 4),
    accepted("extra_field", '{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"note":"x"}}', 4),
    accepted("unsorted", f'{{"b":{tensor("F32", "[1]", 4, 8)},{A}}}', 8),
    accepted("unaligned", f'{{"a":{tensor("U8", "[1]", 0, 1)},"b":{tensor("F32", "[1]", 1, 5)}}}', 5),
    accepted("leading_spaces", f"   {{{A}}}", 4),
    stricter("empty_name", f'{{"":{ONE}}}', 4, "is empty"),
    stricter("nul_in_name", f'{{"a\\u0000b":{ONE}}}', 4, "holds a control character"),
    stricter("huge_zero_shape", f'{{"a":{tensor("F32", "[0,1099511627776,1099511627776]", 0, 0)}}}', 0, "past 2^48 elements"),
    accepted("no_tensors", "{}", 0),
    accepted("minimal", f'{{"a":{tensor("F32", "[2]", 0, 8)}}}', 8),
    accepted("rank_zero", f'{{"a":{tensor("F32", "[]", 0, 4)}}}', 4),
    accepted("zero_sized", f'{{"a":{tensor("F32", "[3,0]", 0, 0)},"b":{tensor("F32", "[0]", 0, 0)},"c":{ONE}}}', 4),
    accepted("trailing_spaces", f"{{{A}}}     ", 4),
]


def main():
    FOLDER.mkdir(exist_ok=True)
    verdicts = {}
    for number, (name, header, data, ours, reference, reason, length) in enumerate(CASES, start=1):
        if header is None:
            content = b""
        else:
            raw = header if isinstance(header, bytes) else header.encode()
            content = struct.pack("<Q", len(raw) if length is None else length) + raw + bytes(data)
        file = f"{number:02d}_{name}.safetensors"
        (FOLDER / file).write_bytes(content)
        verdicts[file] = {"sara": ours, "reference": reference, "reason": reason}
    (FOLDER / "verdicts.json").write_text(json.dumps(verdicts, indent=2) + "\n")


if __name__ == "__main__":
    main()
