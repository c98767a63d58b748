// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "sara/sparse/values.h"

namespace sara {

// An adapter: what one run learned, sparse, by parameter path. The file (version 1, .safetensors) holds per tensor
//   <key>.gaps   U8    the sorted flat indices (sara/sparse/gaps.h)
//   <key>.delta  F32, BF16 or F16 [n]: values minus base; moves to other bases; exact on bf16 and fp16 bases but for weights next to 0
//   or <key>.value: the trained weights themselves; restores fp32 weights bit for bit on their own base
// with <key> = component.path ("unet.conv_in.weight"), and in its metadata
//   format "sara-adapter", version "1", base_hash (JSON: key -> XXH3-128 of the base tensor's bytes), family, base_model,
//   selection, threshold, selected, lambda_rank, progressive_iter, ema_updates (with ema_decay), lr, steps, seed, prompt_prefix,
//   library_version, config.
struct AdapterTensor {
  torch::Tensor indices;  // [n] int32 or int64, sorted, CPU
  torch::Tensor data;     // [n] fp32, bf16 or fp16, CPU
  bool is_value = false;  // data are weights, not differences
};

struct Adapter {
  std::string source;  // where it came from, for messages
  std::map<std::string, AdapterTensor> tensors;
  std::map<std::string, std::string> metadata;

  int64_t count() const;  // positions in all tensors
};

// What was learned, as an adapter. Deltas in fp32 are chosen so that base + delta, rounded once to the weight's bf16 or
// fp16, is the trained weight bit for bit wherever an fp32 delta can say it (next to 0 it may lie between two sums; then the
// nearest). dtype: fp32, bf16 or fp16 of the data.
Adapter make_adapter(const std::vector<Learned>& learned, const std::map<std::string, std::string>& base_hashes,
                     bool as_values = false, at::ScalarType dtype = torch::kFloat);

void save_adapter(const std::string& path, const Adapter& adapter);  // atomic; adds format and version

// Throws BadFile: another format or version, unknown or incomplete tensors, wrong types, indices that end badly or do not
// match the data, data that is NaN or infinite.
Adapter load_adapter(const std::string& path);

// Numbers of an adapter in another type, each rounded to nearest. Throws InvalidArgument naming `key` when one leaves the type's
// range.
torch::Tensor in_dtype(const torch::Tensor& numbers, at::ScalarType dtype, const std::string& key);

// The base hashes written in an adapter: key -> hex. Throws BadFile when there are none or they are not understood.
std::map<std::string, std::string> base_hashes_of(const Adapter& adapter);

}  // namespace sara
