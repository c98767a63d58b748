// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sara {

// The scalars of one AdamW step (ops/adamw_step.h), each rounded to fp32 where torch.optim.AdamW rounds it, so that both take the
// same steps.
struct AdamWFactors {
  float decay, keep, blend1, beta2, blend2, step_size, root, eps, scale;
};

}  // namespace sara
