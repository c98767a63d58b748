// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/turn.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include "sara/ops/map_layout.h"
#include "sara/ops/vectorized.h"

namespace sara {
namespace {

constexpr int64_t kStripe = 64;  // columns of a matrix that one thread turns

template <class T>
void turn_matrices(T* to, const T* from, int64_t count, int64_t rows, int64_t columns, TurnBlock<T> turn_block) {
  const int64_t stripes = (columns + kStripe - 1) / kStripe, matrix = rows * columns;
  at::parallel_for(0, count * stripes, 1, [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t first = unit % stripes * kStripe, start = unit / stripes * matrix;
      turn_matrix(to + start + first * rows, rows, from + start + first, columns, rows, std::min(kStripe, columns - first), turn_block);
    }
  });
}

// [B, rows, columns] -> [B, columns, rows]
torch::Tensor turned_matrices(const torch::Tensor& matrices) {
  const auto type = matrices.scalar_type();
  if (!matrices.is_cpu() || (type != torch::kFloat && type != torch::kBFloat16)) return matrices.transpose(1, 2).contiguous();
  RECORD_FUNCTION("sara::turn", {});
  const torch::Tensor from = matrices.contiguous(), to = torch::empty({from.size(0), from.size(2), from.size(1)}, from.options());
  if (type == torch::kFloat)
    turn_matrices(mutable_numbers<float>(to), numbers<float>(from), from.size(0), from.size(1), from.size(2), turn_block_f32());
  else
    turn_matrices(mutable_numbers<bf16_bits>(to), numbers<bf16_bits>(from), from.size(0), from.size(1), from.size(2), turn_block_bf16());
  return to;
}

}  // namespace

torch::Tensor tokens_of_map(const torch::Tensor& map) {
  return is_channels_last(map) ? map.detach().permute({0, 2, 3, 1}).flatten(1, 2) : turned_matrices(map.detach().flatten(2));
}

torch::Tensor map_of_tokens(const torch::Tensor& tokens, at::IntArrayRef sizes) { return turned_matrices(tokens.detach()).view(sizes); }

torch::Tensor map_like(const torch::Tensor& tokens, const torch::Tensor& other) {
  if (!is_channels_last(other)) return map_of_tokens(tokens, other.sizes());
  return tokens.detach().view({other.size(0), other.size(2), other.size(3), other.size(1)}).permute({0, 3, 1, 2});
}

}  // namespace sara
