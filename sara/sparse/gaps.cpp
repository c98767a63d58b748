// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/gaps.h"

#include "sara/base/error.h"

namespace sara {
namespace {

template <class Index>
void decode(const uint8_t* bytes, size_t size, int64_t count, int64_t numel, const std::string& source, Index* out) {
  int64_t index = 0, found = 0;  // index: the next one, if its gap ended here
  bool open = false;             // a 255 waits for its end
  for (size_t at = 0; at < size; ++at) {
    index += bytes[at];
    if (index >= numel)
      throw BadFile(source, message("an index leaves the tensor (expected below ", numel, ", got ", index, " or more). Fix: use the base model of this adapter"), at);
    open = bytes[at] == 255;
    if (open) continue;
    if (found == count) throw BadFile(source, message("more indices than values (expected ", count, ")"), at);
    out[found++] = static_cast<Index>(index++);
  }
  if (open) throw BadFile(source, "the last gap has no end", size);
  if (found != count) throw BadFile(source, message("fewer indices than values (expected ", count, ", got ", found, ")"), size);
}

}  // namespace

std::vector<uint8_t> encode_gaps(const torch::Tensor& indices) {
  const torch::Tensor sorted = indices.to(torch::kCPU, torch::kLong).contiguous();
  const int64_t* next = sorted.const_data_ptr<int64_t>();
  std::vector<uint8_t> out;
  out.reserve(sorted.numel() + sorted.numel() / 8);
  int64_t previous = -1;
  for (int64_t k = 0; k < sorted.numel(); ++k) {
    SARA_CHECK(next[k] > previous, "indices must be sorted and distinct");
    int64_t gap = next[k] - previous - 1;
    for (; gap >= 255; gap -= 255) out.push_back(255);
    out.push_back(static_cast<uint8_t>(gap));
    previous = next[k];
  }
  return out;
}

torch::Tensor decode_gaps(const uint8_t* bytes, size_t size, int64_t count, int64_t numel, const std::string& source) {
  if (count < 0 || static_cast<uint64_t>(count) > size)
    throw BadFile(source, message("fewer indices than values (expected ", count, ", got at most ", size, ")"), size);
  const bool wide = numel > int64_t{1} << 31;
  torch::Tensor indices = torch::empty({count}, wide ? torch::kLong : torch::kInt);
  if (wide)
    decode(bytes, size, count, numel, source, indices.data_ptr<int64_t>());
  else
    decode(bytes, size, count, numel, source, indices.data_ptr<int32_t>());
  return indices;
}

}  // namespace sara
