// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/functions.h"

#include "sara/cuda/adamw.cuh"
#include "sara/cuda/arguments.h"

namespace sara::cuda {
namespace {

bool same_launch(const PassTensor& a, const PassTensor& b) {
  return a.dense.scalar_type() == b.dense.scalar_type() && a.offsets.scalar_type() == b.offsets.scalar_type() && a.exp_avg_scale.defined() == b.exp_avg_scale.defined() &&
         a.key == b.key && std::memcmp(&a.factors, &b.factors, sizeof a.factors) == 0;
}

Moments moments_of(const PassTensor& tensor, Moments) {
  const int64_t count = tensor.values.numel();
  return {numbers_of<float>(tensor.exp_avg, count), numbers_of<float>(tensor.exp_avg_sq, count)};
}

EightBitMoments moments_of(const PassTensor& tensor, EightBitMoments) {
  const int64_t count = tensor.values.numel(), blocks = blocks_for(count, kCodesInBlock);
  SARA_CHECK(tensor.exp_avg.scalar_type() == torch::kChar && tensor.exp_avg_sq.scalar_type() == torch::kByte && tensor.exp_avg.numel() == count && tensor.exp_avg_sq.numel() == count);
  return {tensor.exp_avg.data_ptr<int8_t>(), tensor.exp_avg_sq.data_ptr<uint8_t>(), numbers_of<float>(tensor.exp_avg_scale, blocks),
          numbers_of<float>(tensor.exp_avg_sq_scale, blocks), tensor.first};
}

template <class Kernel, class M, class Dense, class Index>
int64_t fill_pass(Kernel& kernel, const PassTensor* begin, const PassTensor* end, const torch::Tensor& clip) {
  auto& pass = kernel.pass;
  static_assert(sizeof(Kernel) <= 4096, "more than a launch may carry");
  pass.factors = begin->factors;
  pass.clip = clip.defined() ? clip.const_data_ptr<double>() + 1 : nullptr;
  int64_t blocks = 0;
  for (const PassTensor* tensor = begin; tensor != end; ++tensor) {
    const int64_t count = tensor->values.numel();
    SARA_CHECK(tensor->offsets.is_contiguous() && tensor->offsets.numel() == count);
    pass.tensors[pass.count] = {numbers_of<float>(tensor->values, count),
                                numbers_of<float>(tensor->gradient, count),
                                numbers_of<Dense>(tensor->dense, tensor->dense.numel()),
                                tensor->offsets.template const_data_ptr<Index>(),
                                tensor->base.defined() ? numbers_of<Dense>(tensor->base, count) : nullptr,
                                count,
                                blocks};
    pass.moments[pass.count++] = moments_of(*tensor, M{});
    blocks += blocks_for(count, Kernel::kThreads);
  }
  return blocks;
}

// All of one launch's kind, as many at a time as a launch may carry.
template <class Kernel, class M, class Dense, class Index>
void launch_run(const PassTensor* begin, const PassTensor* end, const torch::Tensor& clip) {
  constexpr int64_t kTensors = decltype(Kernel::pass)::kTensors;
  for (const PassTensor* first = begin; first < end; first += kTensors) {
    Kernel kernel{};
    if constexpr (std::is_same_v<M, EightBitMoments>) kernel.key = begin->key;
    const int64_t blocks = fill_pass<Kernel, M, Dense, Index>(kernel, first, std::min(first + kTensors, end), clip);
    queue(kernel, blocks, begin->values);
  }
}

}  // namespace

void adamw_pass(const std::vector<PassTensor>& tensors, const torch::Tensor& clip) {
  const PassTensor* const end = tensors.data() + tensors.size();
  for (const PassTensor* begin = tensors.data(); begin != end;) {
    const PassTensor* next = begin;
    while (next != end && same_launch(*begin, *next)) ++next;
    for_number(begin->dense.scalar_type(), [&]<class Dense>() {
      for_index(begin->offsets.scalar_type(), [&]<class Index>() {
        if (begin->exp_avg_scale.defined())
          launch_run<AdamWPassEightBit<Dense, Index>, EightBitMoments, Dense, Index>(begin, next, clip);
        else
          launch_run<AdamWPass<Dense, Index>, Moments, Dense, Index>(begin, next, clip);
      });
    });
    begin = next;
  }
}

}  // namespace sara::cuda
