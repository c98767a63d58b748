// SPDX-License-Identifier: Apache-2.0
#include "sara/rank/inverse_root.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace sara {
namespace {

struct Entry {
  int row, column;
  float value;
};

// The lower triangle of a Gram matrix [640, 640] of few selected weights, met in training, on which LAPACK's decomposition in fp32 gave up on two threads.
constexpr Entry kMet[] = {{23, 23, 0.565894246f}, {34, 34, 0.584898472f}, {38, 38, 0.396201253f}, {91, 91, 0.0124251936f}, {109, 109, 0.00616137451f},
                          {130, 130, 0.536698163f}, {139, 139, 0.00623849453f}, {184, 184, 0.0721906573f}, {194, 194, 0.469794571f}, {205, 205, 0.922462225f},
                          {208, 208, 0.171896935f}, {218, 218, 0.219742298f}, {220, 220, 0.298978269f}, {250, 250, 0.0868519023f}, {254, 130, 0.24444741f},
                          {254, 254, 0.111337312f}, {299, 299, 0.042448137f}, {329, 299, 0.066531159f}, {329, 329, 0.10427773f}, {365, 365, 0.781594992f},
                          {375, 375, 0.573248148f}, {380, 380, 0.119873151f}, {383, 383, 0.868145168f}, {395, 395, 0.895296931f}, {412, 412, 0.503308237f},
                          {423, 423, 0.425464422f}, {427, 427, 0.00324242283f}, {443, 443, 0.0365136415f}, {466, 466, 0.0830994397f}, {476, 476, 0.69394052f},
                          {498, 498, 0.441359133f}, {527, 299, -0.134046331f}, {527, 329, -0.210097745f}, {527, 527, 0.423302859f}, {540, 395, -0.679373384f},
                          {540, 540, 0.515525281f}, {576, 576, 1.0f}, {587, 587, 0.58536303f}, {624, 624, 0.350827545f}};

torch::Tensor met() {
  const torch::Tensor gram = torch::zeros({640, 640});
  for (const auto& [row, column, value] : kMet) gram[row][column] = gram[column][row] = value;
  return gram;
}

TEST(InverseRoot, DecomposesWhatFp32GivesUpOn) {
  const int before = at::get_num_threads();
  for (const int threads : {1, 2, 4}) {
    at::set_num_threads(threads);
    const torch::Tensor gram = met();
    const auto [values, vectors] = eigen(gram);
    EXPECT_LE(((vectors * values).matmul(vectors.t()) - gram).abs().max().item<float>(), 2e-6) << threads;
    const torch::Tensor root = inverse_root(gram), projection = root.matmul(gram).matmul(root);
    EXPECT_LE((projection - projection.matmul(projection)).abs().max().item<float>(), 1e-4) << threads;
    EXPECT_NEAR(projection.trace().item<float>(), 30, 1e-2) << threads;  // its rank
  }
  at::set_num_threads(before);
}

TEST(InverseRoot, RowsOfZerosChangeNothing) {
  const torch::Tensor x = torch::randn({5, 12}), padded = torch::zeros({9, 12}), places = torch::tensor({1, 2, 5, 7, 8});
  padded.index_copy_(0, places, x);
  const torch::Tensor root = inverse_root(padded.matmul(padded.t()));
  EXPECT_TRUE(root.index_select(0, places).index_select(1, places).allclose(inverse_root(x.matmul(x.t())), 1e-4, 1e-5));
  EXPECT_EQ(root.ne(0).sum().item<int64_t>(), 25);
  EXPECT_EQ(inverse_root(torch::zeros({4, 4})).abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace sara
