// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/map_layout.h"

#include "sara/cuda/kernels.h"

namespace sara {

bool is_channels_last(const torch::Tensor& map) { return map.dim() == 4 && !map.is_contiguous() && map.is_contiguous(at::MemoryFormat::ChannelsLast); }

torch::Tensor for_device(const torch::Tensor& map) { return map.dim() == 4 && cuda::kernels(map.device()) ? map.contiguous(at::MemoryFormat::ChannelsLast) : map; }

torch::Tensor without_gaps(const torch::Tensor& map) { return is_channels_last(map) ? map : map.contiguous(); }

torch::Tensor laid_out_as(const torch::Tensor& map, const torch::Tensor& other) {
  return is_channels_last(other) ? map.contiguous(at::MemoryFormat::ChannelsLast) : map.contiguous();
}

}  // namespace sara
