// SPDX-License-Identifier: Apache-2.0
#include "sara/ops/adamw_step.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "sara/base/error.h"

namespace sara {
namespace {

// Every factor is rounded to fp32 where torch.optim.AdamW rounds it, so that both take the same steps.
struct Factors {
  explicit Factors(const AdamWStep& s)
      : decay(static_cast<float>(s.lr * s.weight_decay)),
        keep(static_cast<float>(1 - s.lr * s.weight_decay)),
        blend1(static_cast<float>(1 - s.beta1)),
        beta2(static_cast<float>(s.beta2)),
        blend2(static_cast<float>(1 - s.beta2)),
        step_size(static_cast<float>(s.lr / (1 - std::pow(s.beta1, static_cast<double>(s.step))))),
        root(static_cast<float>(std::sqrt(1 - std::pow(s.beta2, static_cast<double>(s.step))))),
        eps(static_cast<float>(s.eps)),
        scale(static_cast<float>(s.gradient_scale)) {}
  float decay, keep, blend1, beta2, blend2, step_size, root, eps, scale;
};

void step_on_cpu(float* p, const float* g, float* m, float* v, const float* target, int64_t count, const Factors& f) {
  at::parallel_for(0, count, 1 << 15, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const float gradient = g[i] * f.scale;
      const float decayed = target ? p[i] - f.decay * (p[i] - target[i]) : p[i] * f.keep;
      m[i] += f.blend1 * (gradient - m[i]);
      v[i] = v[i] * f.beta2 + f.blend2 * gradient * gradient;
      p[i] = decayed - f.step_size * m[i] / (std::sqrt(v[i]) / f.root + f.eps);
    }
  });
}

}  // namespace

void adamw_step_(const torch::Tensor& values, const torch::Tensor& gradient, const torch::Tensor& exp_avg,
                 const torch::Tensor& exp_avg_sq, const torch::Tensor& target, const AdamWStep& settings) {
  const Factors f(settings);
  for (const torch::Tensor& buffer : {values, gradient, exp_avg, exp_avg_sq, target.defined() ? target : values})
    SARA_CHECK(buffer.scalar_type() == torch::kFloat && buffer.is_contiguous() && buffer.numel() == values.numel());
  if (values.is_cpu()) {
    step_on_cpu(values.data_ptr<float>(), gradient.const_data_ptr<float>(), exp_avg.data_ptr<float>(),
                exp_avg_sq.data_ptr<float>(), target.defined() ? target.const_data_ptr<float>() : nullptr, values.numel(), f);
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
