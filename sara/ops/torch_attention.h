// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

namespace sara {

// While the result lives, torch's flash attention on the CPU (what torch.nn.functional.scaled_dot_product_attention takes there), forwards
// and backwards, in the whole process, goes by the kernels of sara/ops/attend.h wherever they fit: fp32 and, with instructions for it, bf16; no mask, no dropout,
// not causal, the usual scale 1 / sqrt(d), at least as many heads of all pictures as threads. Every other call stays torch's own, and all do after the last
// result is gone. Results have torch's shapes and strides. The first call registers an operator: no other thread may attend meanwhile.
std::shared_ptr<void> speed_up_torch_attention();

}  // namespace sara
