// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/cuda/adamw_factors.h"
#include "sara/cuda/eight_bit.cuh"
#include "sara/cuda/launch.h"
#include "sara/cuda/numbers.cuh"
#include "sara/cuda/tree.cuh"

namespace sara::cuda {

// One tensor of a pass: fp32 values p and gradient g [count], the dense weight with the storage offset of each value, and what
// decay pulls to (null for zero).
template <class Dense, class Index>
struct AdamWTensor {
  float* p;
  const float* g;
  Dense* dense;
  const Index* offsets;
  const Dense* base;
  int64_t count, first_block;
};

struct Moments {
  float *m, *v;
};

// 8-bit moments of one tensor (sparse/eight_bit.h) and the place of its first value in the flat buffers.
struct EightBitMoments {
  int8_t* m;
  uint8_t* v;
  float *m_scales, *v_scales;
  int64_t first;
};

// As many tensors as fit into the 4 KB that a launch may carry: no table has to be copied to the device.
template <class Tensor, class M>
struct Pass {
  static constexpr int kTensors = sizeof(M) > 16 ? 32 : 48;
  Tensor tensors[kTensors];
  M moments[kTensors];
  int count;
  AdamWFactors factors;
  const double* clip;  // on the device, multiplies factors.scale; not finite: nothing changes. null: 1

  SARA_HOST_DEVICE bool skipped() const { return clip && !(fabs(*clip) <= 1e300); }
  SARA_HOST_DEVICE float scale() const { return clip ? static_cast<float>(*clip) * factors.scale : factors.scale; }
  SARA_HOST_DEVICE int tensor_of(int64_t block) const {
    int low = 0, high = count - 1;  // the last one that begins at or before the block
    while (low < high) {
      const int middle = (low + high + 1) / 2;
      if (tensors[middle].first_block <= block)
        low = middle;
      else
        high = middle - 1;
    }
    return low;
  }
};

// The update of ops/adamw_step.h, every operation rounded by itself as in ops/vector_kernels.cpp (compiled without fused
// multiply-add): the same bits.
SARA_HOST_DEVICE float adamw(float p, float g, float& m, float& v, const AdamWFactors& f, float scale, const float* target) {
  const float gradient = g * scale;
  m = m + f.blend1 * (gradient - m);
  v = v * f.beta2 + f.blend2 * gradient * gradient;
  const float step = f.step_size * m / (sqrtf(v) / f.root + f.eps);
  return target ? p - f.decay * (p - *target) - step : p * f.keep - step;
}

template <class Dense, class Index>
SARA_HOST_DEVICE void update(const AdamWTensor<Dense, Index>& at, int64_t k, float& m, float& v, const AdamWFactors& factors, float scale) {
  const float target = at.base ? to_float(at.base[k]) : 0;
  const float p = adamw(at.p[k], at.g[k], m, v, factors, scale, at.base ? &target : nullptr);
  at.p[k] = p;
  store(at.dense + at.offsets[k], p);
}

// The optimizer step of up to kTensors tensors: read once, updated, written into the dense weights. A block takes 256 values.
template <class Dense, class Index>
struct AdamWPass {
  static constexpr int kThreads = 256, kPhases = 1;
  struct Shared {};
  using Tensor = AdamWTensor<Dense, Index>;
  Pass<Tensor, Moments> pass;

  SARA_HOST_DEVICE void phase(int, Shared&, int64_t block, int thread) const {
    if (pass.skipped()) return;
    const int i = pass.tensor_of(block);
    const Tensor& tensor = pass.tensors[i];
    const int64_t k = (block - tensor.first_block) * kThreads + thread;
    if (k < tensor.count) update(tensor, k, pass.moments[i].m[k], pass.moments[i].v[k], pass.factors, pass.scale());
  }
};

// The same with 8-bit moments: a block is one block of them.
template <class Dense, class Index>
struct AdamWPassEightBit {
  static constexpr int kThreads = kCodesInBlock, kSteps = steps_of(kThreads), kPhases = kSteps + 2;
  struct Shared {
    float m[kThreads], v[kThreads];                  // updated
    float m_largest[kThreads], v_largest[kThreads];  // magnitudes on their way to the largest
  };
  using Tensor = AdamWTensor<Dense, Index>;
  Pass<Tensor, EightBitMoments> pass;
  uint32_t key;  // of this step's draws

  SARA_HOST_DEVICE void phase(int phase, Shared& shared, int64_t block, int thread) const {
    if (pass.skipped()) return;
    const int i = pass.tensor_of(block);
    const Tensor& tensor = pass.tensors[i];
    const EightBitMoments& moments = pass.moments[i];
    const int64_t codes = block - tensor.first_block, k = codes * kThreads + thread;
    const bool inside = k < tensor.count;
    if (phase == 0) {
      float m = 0, v = 0;
      if (inside) {
        m = signed_level(moments.m[k]) * moments.m_scales[codes];
        v = unsigned_level(moments.v[k]) * moments.v_scales[codes];
        update(tensor, k, m, v, pass.factors, pass.scale());
      }
      shared.m[thread] = m;
      shared.v[thread] = v;
      shared.m_largest[thread] = fabsf(m);
      shared.v_largest[thread] = fabsf(v);
    } else if (phase <= kSteps) {
      tree_step_of_maximum<kThreads>(shared.m_largest, phase - 1, thread);
      tree_step_of_maximum<kThreads>(shared.v_largest, phase - 1, thread);
    } else if (inside) {
      const uint32_t bits = position_bits(static_cast<uint32_t>(moments.first + k), key);
      moments.m[k] = signed_code(shared.m[thread], shared.m_largest[0], bits);
      moments.v[k] = unsigned_code(shared.v[thread], shared.v_largest[0], bits);
      if (thread == 0) {
        moments.m_scales[codes] = shared.m_largest[0];
        moments.v_scales[codes] = shared.v_largest[0];
      }
    }
  }
};

}  // namespace sara::cuda
