// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/adamw_step.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "sara/base/error.h"

namespace sara {

AdamWFactors adamw_factors(const AdamWStep& s) {
  return {.decay = static_cast<float>(s.lr * s.weight_decay),
          .keep = static_cast<float>(1 - s.lr * s.weight_decay),
          .blend1 = static_cast<float>(1 - s.beta1),
          .beta2 = static_cast<float>(s.beta2),
          .blend2 = static_cast<float>(1 - s.beta2),
          .step_size = static_cast<float>(s.lr / (1 - std::pow(s.beta1, static_cast<double>(s.step)))),
          .root = static_cast<float>(std::sqrt(1 - std::pow(s.beta2, static_cast<double>(s.step)))),
          .eps = static_cast<float>(s.eps),
          .scale = static_cast<float>(s.gradient_scale)};
}

void adamw_step_(const torch::Tensor& values, const torch::Tensor& gradient, const torch::Tensor& exp_avg,
                 const torch::Tensor& exp_avg_sq, const torch::Tensor& target, const AdamWStep& settings) {
  const AdamWFactors f = adamw_factors(settings);
  for (const torch::Tensor& buffer : {values, gradient, exp_avg, exp_avg_sq, target.defined() ? target : values})
    SARA_CHECK(buffer.scalar_type() == torch::kFloat && buffer.is_contiguous() && buffer.numel() == values.numel());
  if (values.is_cpu()) {
    float *p = values.data_ptr<float>(), *m = exp_avg.data_ptr<float>(), *v = exp_avg_sq.data_ptr<float>();
    const float *g = gradient.const_data_ptr<float>(), *to = target.defined() ? target.const_data_ptr<float>() : nullptr;
    at::parallel_for(0, values.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
      update_adamw(p + begin, g + begin, m + begin, v + begin, to ? to + begin : nullptr, end - begin, f);
    });
    return;
  }
  const torch::Tensor scaled = gradient * f.scale;
  if (target.defined()) values.sub_(values - target, f.decay);
  else values.mul_(f.keep);
  exp_avg.lerp_(scaled, f.blend1);
  exp_avg_sq.mul_(f.beta2).addcmul_(scaled, scaled, f.blend2);
  values.addcdiv_(exp_avg, exp_avg_sq.sqrt().div_(f.root).add_(f.eps), -f.step_size);
}

}  // namespace sara
