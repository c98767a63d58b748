// SPDX-License-Identifier: Apache-2.0
// Attention against the softmax written out in fp64.
#include "sara/ops/attend.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

#include "sara/ops/attend_by_floats.h"
#include "sara/ops/attention_kernel.h"
#include "sara/ops/processor.h"

namespace sara {
namespace {

struct Shape {
  int64_t batch, heads, queries, keys, channels;  // channels of one head
};

// Whole blocks, ends of blocks, odd numbers of keys, one token, and the heads of Stable Diffusion 1.5.
constexpr Shape kShapes[] = {{1, 1, 1, 1, 2}, {2, 3, 5, 7, 6}, {1, 2, 64, 128, 64}, {1, 1, 65, 129, 40}, {2, 1, 200, 77, 80}, {1, 1, 16, 300, 160}, {1, 2, 130, 1, 20}};

struct Written {
  torch::Tensor values, log_sum;
};

Written written_out(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads) {
  const auto apart = [&](const torch::Tensor& x) { return x.unflatten(2, {heads, -1}).transpose(1, 2); };
  const torch::Tensor scores = apart(q).matmul(apart(k).transpose(2, 3)) / std::sqrt(double(q.size(2) / heads));
  return {at::softmax(scores, -1).matmul(apart(v)).transpose(1, 2).flatten(2), at::logsumexp(scores, -1)};
}

void expect_near(const torch::Tensor& got, const torch::Tensor& expected, double tolerance, const char* what) {
  EXPECT_EQ(got.sizes(), expected.sizes());
  EXPECT_LT(((got.to(torch::kDouble) - expected).norm() / expected.norm().clamp_min(1e-12)).item<double>(), tolerance) << what << " of " << expected.sizes();
}

using Attend = Attended(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, int64_t);
using AttendBackward = AttendGradients(const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, const torch::Tensor&, const Attended&, int64_t);

void compare(const Shape& s, at::ScalarType dtype, double tolerance, Attend* forward = attend, AttendBackward* backward = attend_backward) {
  torch::manual_seed(1);
  const int64_t width = s.heads * s.channels;
  const auto tokens = [&](int64_t count) { return (torch::randn({s.batch, count, width}) * 1.5).to(dtype); };
  const torch::Tensor q = tokens(s.queries), k = tokens(s.keys), v = tokens(s.keys), gradient = tokens(s.queries);
  const auto leaf = [](const torch::Tensor& x) { return x.to(torch::kDouble).requires_grad_(); };
  const torch::Tensor exact_q = leaf(q), exact_k = leaf(k), exact_v = leaf(v);
  const Written exact = written_out(exact_q, exact_k, exact_v, s.heads);
  exact.values.backward(gradient.to(torch::kDouble));

  const Attended attended = forward(q, k, v, s.heads);
  EXPECT_EQ(attended.values.scalar_type(), dtype);
  expect_near(attended.values, exact.values.detach(), tolerance, "values");
  expect_near(attended.log_sum, exact.log_sum.detach(), dtype == torch::kHalf ? 1e-3 : 1e-5, "log_sum");
  const AttendGradients of = backward(gradient, q, k, v, attended, s.heads);
  expect_near(of.v, exact_v.grad(), tolerance, "gradient of v");
  if (s.keys == 1) return;  // the one share is 1 whatever q and k are
  expect_near(of.q, exact_q.grad(), 2 * tolerance, "gradient of q");
  expect_near(of.k, exact_k.grad(), 2 * tolerance, "gradient of k");
}

TEST(Attend, Float32IsTheSoftmaxWrittenOut) {
  for (const auto& shape : kShapes) compare(shape, torch::kFloat, 2e-6);
}

TEST(Attend, BFloat16IsTheSoftmaxWrittenOutUpToItsRounding) {
  for (const auto& shape : kShapes) compare(shape, torch::kBFloat16, 6e-3);
}

// The kernels of bf16 pairs, head by head: `attend` leaves them where the processor's products of bf16 are slow.
template <class Run>
void for_heads(const torch::Tensor& q, const torch::Tensor& k, int64_t heads, const Run& run) {
  const int64_t channels = q.size(2) / heads;
  const HeadShape shape{q.size(1), k.size(1), channels, q.size(2), static_cast<float>(1 / std::sqrt(double(channels)))};
  const torch::Tensor work = torch::empty({attention_work_floats(shape)});
  for (int64_t i = 0; i < q.size(0) * heads; ++i)
    run(shape, (i / heads * shape.queries) * shape.stride + i % heads * channels, (i / heads * shape.keys) * shape.stride + i % heads * channels, i * shape.queries, work.data_ptr<float>());
}

uint16_t* bits(const torch::Tensor& x) { return static_cast<uint16_t*>(x.data_ptr()); }

Attended pairs_forward(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads) {
  const Attended to{torch::empty_like(q), torch::empty({q.size(0), heads, q.size(1)})};
  for_heads(q, k, heads, [&](const HeadShape& shape, int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    attend_head_avx512(shape, bits(q) + at_q, bits(k) + at_k, bits(v) + at_k, bits(to.values) + at_q, to.log_sum.data_ptr<float>() + at_sum, work);
  });
  return to;
}

AttendGradients pairs_backward(const torch::Tensor& gradient, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const Attended& attended, int64_t heads) {
  const AttendGradients to{torch::empty_like(q), torch::empty_like(k), torch::empty_like(v)};
  for_heads(q, k, heads, [&](const HeadShape& shape, int64_t at_q, int64_t at_k, int64_t at_sum, float* work) {
    const HeadGradient<uint16_t> head{bits(gradient) + at_q, bits(q) + at_q, bits(k) + at_k, bits(v) + at_k, bits(attended.values) + at_q,
                                      attended.log_sum.data_ptr<float>() + at_sum, bits(to.q) + at_q, bits(to.k) + at_k, bits(to.v) + at_k};
    attend_head_backward_avx512(shape, head, work);
  });
  return to;
}

TEST(Attend, PairsOfBFloat16AreTheSoftmaxWrittenOutUpToTheirRounding) {
  if (!has_avx512_bf16()) GTEST_SKIP() << "no such registers here";
  for (const auto& shape : kShapes) compare(shape, torch::kBFloat16, 6e-3, pairs_forward, pairs_backward);
}

Attended floats_forward(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads) {
  const Attended to{torch::empty_like(q), torch::empty({q.size(0), heads, q.size(1)})};
  attend_by_floats(to, q, k, v, heads);
  return to;
}

AttendGradients floats_backward(const torch::Tensor& gradient, const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, const Attended& attended, int64_t heads) {
  const AttendGradients to{torch::empty_like(q), torch::empty_like(k), torch::empty_like(v)};
  attend_backward_by_floats(to, gradient, q, k, v, attended, heads);
  return to;
}

TEST(Attend, BFloat16ByFloatsIsTheSoftmaxWrittenOutUpToItsRounding) {
  if (!has_avx512()) GTEST_SKIP() << "no such registers here";
  for (const auto& shape : kShapes) compare(shape, torch::kBFloat16, 6e-3, floats_forward, floats_backward);
}

TEST(Attend, WhatTheKernelsDoNotTakeGoesAnotherWay) {
  compare({1, 2, 9, 11, 6}, torch::kHalf, 2e-3);
  compare({1, 2, 9, 11, 5}, torch::kBFloat16, 8e-3);  // an odd number of channels has no pairs
}

TEST(Attend, ScoresFarApartNeitherOverflowNorVanish) {
  torch::Tensor q = torch::zeros({1, 3, 16}), k = torch::zeros({1, 300, 16});
  const torch::Tensor v = torch::randn({1, 300, 16});
  q.fill_(100);
  k[0][2].fill_(30);     // a score of 12,000
  k[0][299].fill_(30);   // and its equal in a later block
  k[0][150].fill_(-30);
  const Attended attended = attend(q, k, v, 1);
  expect_near(attended.values, ((v[0][2] + v[0][299]) / 2).to(torch::kDouble).expand({1, 3, 16}), 1e-6, "values");
  EXPECT_NEAR(attended.log_sum[0][0][0].item<double>(), 12000 + std::log(2.0), 0.01);
}

TEST(Attend, NaNIsSeenInValuesAndGradients) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16}) {
    torch::Tensor q = torch::randn({1, 40, 16}).to(dtype);
    const torch::Tensor k = torch::randn({1, 20, 16}).to(dtype);
    q[0][3][5] = std::numeric_limits<float>::quiet_NaN();
    const Attended attended = attend(q, k, k, 2);
    EXPECT_TRUE(attended.values[0][3].slice(0, 0, 8).isnan().all().item<bool>());
    EXPECT_FALSE(attended.values[0][4].isnan().any().item<bool>());
    EXPECT_TRUE(attend_backward(torch::ones_like(q), q, k, k, attended, 2).k.isnan().any().item<bool>());
  }
}

}  // namespace
}  // namespace sara
