// SPDX-License-Identifier: Apache-2.0
#pragma once

// The safetensors file format:
//
//   bytes 0..7     N, unsigned 64-bit little-endian, at most 100 000 000
//   bytes 8..7+N   UTF-8 JSON: {"__metadata__": {"key": "text", ...},
//                               "tensor": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...}
//   from 8+N on    the data; offsets count from here, and the tensors cover it without hole or overlap to the file's end
//
// Nothing in it can run code, and nothing is believed before it is checked.

#include "sara/files/dtype.h"               // IWYU pragma: export
#include "sara/files/safetensors_header.h"  // IWYU pragma: export
#include "sara/files/safetensors_reader.h"  // IWYU pragma: export
#include "sara/files/safetensors_writer.h"  // IWYU pragma: export
