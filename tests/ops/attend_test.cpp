// SPDX-License-Identifier: Apache-2.0
// Attention against the softmax written out in fp64.
#include "sara/ops/attend.h"

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

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

void compare(const Shape& s, at::ScalarType dtype, double tolerance) {
  torch::manual_seed(1);
  const int64_t width = s.heads * s.channels;
  const auto tokens = [&](int64_t count) { return (torch::randn({s.batch, count, width}) * 1.5).to(dtype); };
  const torch::Tensor q = tokens(s.queries), k = tokens(s.keys), v = tokens(s.keys), gradient = tokens(s.queries);
  const auto leaf = [](const torch::Tensor& x) { return x.to(torch::kDouble).requires_grad_(); };
  const torch::Tensor exact_q = leaf(q), exact_k = leaf(k), exact_v = leaf(v);
  const Written exact = written_out(exact_q, exact_k, exact_v, s.heads);
  exact.values.backward(gradient.to(torch::kDouble));

  const Attended attended = attend(q, k, v, s.heads);
  EXPECT_EQ(attended.values.scalar_type(), dtype);
  expect_near(attended.values, exact.values.detach(), tolerance, "values");
  expect_near(attended.log_sum, exact.log_sum.detach(), dtype == torch::kHalf ? 1e-3 : 1e-5, "log_sum");
  const AttendGradients of = attend_backward(gradient, q, k, v, attended, s.heads);
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
