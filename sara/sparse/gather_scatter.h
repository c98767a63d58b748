// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

namespace sara {

// Between a dense tensor and compact values at sorted flat indices (int32 or int64, [n], positions in the contiguous
// tensor; any strides are honoured without copying the dense tensor). dense: fp32, bf16 or fp16; compact: fp32.

// compact[k] = dense[indices[k]].
torch::Tensor gather(const torch::Tensor& dense, const torch::Tensor& indices);

// compact[k] += dense[indices[k]]. `known_offsets`: storage_offsets(dense, indices), where they are at hand.
void gather_add_(const torch::Tensor& compact, const torch::Tensor& dense, const torch::Tensor& indices, const torch::Tensor& known_offsets = {});

// dense[indices[k]] = compact[k], rounded to nearest even in dense's dtype. compact may also have dense's own dtype:
// then bits are copied.
void scatter_(const torch::Tensor& dense, const torch::Tensor& indices, const torch::Tensor& compact);

// Where flat indices lie in the tensor's own storage order (the indices themselves when it is contiguous), and all memory that it
// spans, as one dimension.
torch::Tensor storage_offsets(const torch::Tensor& dense, const torch::Tensor& indices);
torch::Tensor storage_line(const torch::Tensor& dense);

}  // namespace sara
