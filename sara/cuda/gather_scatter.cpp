// SPDX-License-Identifier: Apache-2.0
#include "sara/cuda/gather_scatter.cuh"

#include "sara/cuda/arguments.h"
#include "sara/cuda/functions.h"

namespace sara::cuda {

void gather_add(const torch::Tensor& compact, const torch::Tensor& dense, const torch::Tensor& offsets) {
  SARA_CHECK(offsets.is_contiguous());
  const int64_t count = offsets.numel();
  for_number(dense.scalar_type(), [&]<class Dense>() {
    for_index(offsets.scalar_type(), [&]<class Index>() {
      const GatherAdd<Dense, Index> kernel{numbers_of<float>(compact, count), numbers_of<Dense>(dense, dense.numel()), offsets.const_data_ptr<Index>(), count};
      queue(kernel, blocks_for(count, kernel.kThreads), dense);
    });
  });
}

void scatter(const torch::Tensor& dense, const torch::Tensor& offsets, const torch::Tensor& compact) {
  SARA_CHECK(offsets.is_contiguous());
  const int64_t count = offsets.numel();
  for_number(dense.scalar_type(), [&]<class Dense>() {
    for_index(offsets.scalar_type(), [&]<class Index>() {
      const auto run = [&]<class Compact>() {
        const Scatter<Dense, Compact, Index> kernel{numbers_of<Dense>(dense, dense.numel()), offsets.const_data_ptr<Index>(), numbers_of<Compact>(compact, count), count};
        queue(kernel, blocks_for(count, kernel.kThreads), dense);
      };
      if (compact.scalar_type() == dense.scalar_type())
        run.template operator()<Dense>();
      else
        run.template operator()<float>();
    });
  });
}

}  // namespace sara::cuda
