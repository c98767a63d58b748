// SPDX-License-Identifier: Apache-2.0
// Behaviours that an implementation of SaRA is known to get wrong, on any module: selection, start, optimizer, rank loss and
// reselection. The same list goes on in tests/pitfalls/test_pitfalls.py.
#include <ATen/Parallel.h>
#include <ATen/ops/linalg_svdvals.h>
#include <ATen/ops/searchsorted.h>
#include <gtest/gtest.h>
#include <torch/nn/functional.h>
#include <torch/optim/adamw.h>

#include <filesystem>
#include <fstream>

#include "sara/base/error.h"
#include "sara/files/atomic_file.h"
#include "sara/optim/adamw.h"
#include "sara/rank/nuclear_norm.h"
#include "sara/rank/svd.h"
#include "sara/sparse/gather_scatter.h"

namespace sara {
namespace {

// A network of every kind of tensor, always the same, and a loss of step t.
struct Network {
  torch::Tensor conv, bias, up, down, unused;
  NamedTensors parameters;

  explicit Network(at::ScalarType dtype = torch::kFloat) {
    torch::manual_seed(5);
    const auto make = [&](const char* name, at::IntArrayRef shape) {
      parameters.emplace_back(name, torch::randn(shape).mul_(0.1).to(dtype).requires_grad_());
      return parameters.back().second;
    };
    conv = make("conv", {8, 3, 3, 3});
    bias = make("bias", {8});
    up = make("up", {24, 32});
    unused = make("unused", {10, 10});
    down = make("down", {4, 24});
  }

  torch::Tensor loss(int64_t step, int64_t first = 0, int64_t count = 4) const {
    namespace F = torch::nn::functional;
    torch::manual_seed(100 + step);
    const torch::Tensor inputs = torch::randn({4, 3, 8, 8}).to(conv.dtype()), targets = torch::randn({4, 4});
    torch::Tensor x = F::conv2d(inputs.narrow(0, first, count), conv, F::Conv2dFuncOptions().bias(bias).padding(1));
    x = F::avg_pool2d(F::silu(x), F::AvgPool2dFuncOptions(4)).flatten(1);
    return F::mse_loss(at::linear(F::silu(at::linear(x, up)), down).to(torch::kFloat), targets.narrow(0, first, count));
  }

  std::vector<torch::Tensor> copies() const {
    std::vector<torch::Tensor> out;
    for (const auto& [name, weight] : parameters) out.push_back(weight.detach().clone());
    return out;
  }
  size_t index(const std::string& name) const {
    size_t i = 0;
    while (parameters[i].first != name) ++i;
    return i;
  }
  bool equals(const std::vector<torch::Tensor>& other) const {
    for (size_t i = 0; i < other.size(); ++i)
      if (!parameters[i].second.equal(other[i])) return false;
    return true;
  }
};

constexpr double kThreshold = 0.04, kRate = 5e-3;

AdamWOptions plain() { return AdamWOptions().threshold(kThreshold).lr(kRate).lambda_rank(0).progressive_iter(0); }

std::vector<StepReport> train(Network& network, AdamW& optimizer, int64_t steps, int64_t first = 1) {
  std::vector<StepReport> reports;
  for (int64_t t = first; t < first + steps; ++t) {
    network.loss(t).backward();
    reports.push_back(optimizer.step(t, kRate));
  }
  return reports;
}

// torch's AdamW on fp32 copies of the same network, gradients masked, frozen entries put back.
std::vector<torch::Tensor> dense_reference(int64_t steps, double weight_decay, std::vector<torch::Tensor>* first_moments = nullptr) {
  Network network;
  std::vector<torch::Tensor> leaves, masks, base = network.copies();
  for (const auto& [name, weight] : network.parameters) {
    leaves.push_back(weight);
    masks.push_back(weight.detach().abs().lt(kThreshold));
  }
  torch::optim::AdamW optimizer(leaves, torch::optim::AdamWOptions(kRate).weight_decay(weight_decay));
  for (int64_t t = 1; t <= steps; ++t) {
    optimizer.zero_grad();
    network.loss(t).backward();
    for (size_t i = 0; i < leaves.size(); ++i) leaves[i].mutable_grad() = (leaves[i].grad().defined() ? leaves[i].grad() : torch::zeros_like(leaves[i])) * masks[i];
    optimizer.step();
    torch::NoGradGuard no_grad;
    for (size_t i = 0; i < leaves.size(); ++i) leaves[i].copy_(torch::where(masks[i], leaves[i], base[i]));
  }
  if (first_moments)
    for (const auto& leaf : leaves)
      first_moments->push_back(static_cast<torch::optim::AdamWParamState&>(*optimizer.state().at(leaf.unsafeGetTensorImpl())).exp_avg().clone());
  return network.copies();
}

// --- Selection
TEST(Pitfalls, test_04_AModelWithAnUnusedLayerTrainsAndEachDeltaLiesInItsOwnTensor) {
  Network network;
  AdamW optimizer(network.parameters, plain().weight_decay(0));
  const auto before = network.copies();
  train(network, optimizer, 3);
  for (const Learned& item : optimizer.values().learned()) {
    const torch::Tensor moved = item.values.ne(item.base);
    EXPECT_EQ(moved.any().item<bool>(), item.name != "unused") << item.name;
    const size_t own = network.index(item.name);
    EXPECT_TRUE(item.base.equal(gather(before[own], item.indices))) << item.name;
    EXPECT_TRUE(item.values.equal(gather(network.parameters[own].second.detach(), item.indices))) << item.name;
  }
}

TEST(Pitfalls, test_05_TheMaskTakesFourBytesAWeightAndDoesNotGrowAtTheSwitch) {
  Network network;
  AdamW optimizer(network.parameters, plain().progressive_iter(2));
  const auto index_bytes = [&] {
    size_t bytes = 0;
    for (const auto& slot : optimizer.values().slots()) bytes += slot.indices.nbytes();
    return bytes;
  };
  const size_t before = index_bytes();
  EXPECT_LE(before, 4u * static_cast<size_t>(optimizer.values().selected()));
  EXPECT_TRUE(train(network, optimizer, 2)[1].reselected);
  EXPECT_LT(index_bytes(), before);
  int64_t kept = 0;
  for (const Learned& item : optimizer.values().learned()) kept += item.indices.numel();
  EXPECT_EQ(kept, optimizer.values().selected());
}

// --- Start
TEST(Pitfalls, test_06_BeforeTheFirstStepTheModelIsTheBaseBitForBit) {
  for (const auto dtype : {torch::kFloat, torch::kBFloat16, torch::kHalf}) {
    Network network(dtype);
    const auto before = network.copies();
    AdamW optimizer(network.parameters, plain());
    EXPECT_TRUE(network.equals(before));
    optimizer.values().scatter_();
    EXPECT_TRUE(network.equals(before));  // the master copy holds the signed values
    EXPECT_TRUE(optimizer.values().values().equal(optimizer.values().base()));
    EXPECT_TRUE(optimizer.values().values().lt(0).any().item<bool>());
  }
}

TEST(Pitfalls, test_07_TheFirstGradientHasTheRightSign) {
  Network network;
  AdamW optimizer(network.parameters, plain());
  train(network, optimizer, 1);
  const auto expected = dense_reference(1, 1e-2);
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(network.parameters[i].second.detach().allclose(expected[i], 1e-5, 1e-7)) << network.parameters[i].first;
}

// --- Optimizer
TEST(Pitfalls, test_09_CompactAdamWIsDenseAdamWRestrictedToTheMask) {
  Network network;
  AdamW optimizer(network.parameters, plain());
  train(network, optimizer, 50);
  std::vector<torch::Tensor> moments;
  const auto expected = dense_reference(50, 1e-2, &moments);
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(network.parameters[i].second.detach().allclose(expected[i], 1e-4, 1e-6)) << network.parameters[i].first;
  for (const auto& slot : optimizer.values().slots())
    EXPECT_TRUE(Values::span(optimizer.values().exp_avg(), slot).allclose(gather(moments[network.index(slot.name)], slot.indices), 1e-4, 1e-7)) << slot.name;
  EXPECT_EQ(optimizer.values().exp_avg().numel(), optimizer.values().selected());
  EXPECT_EQ(optimizer.values().exp_avg_sq().numel(), optimizer.values().selected());
}

TEST(Pitfalls, test_10_StepsTooSmallForBfloat16AddUpInTheMasterValues) {
  const torch::Tensor w = torch::full({64}, 1e-3).to(torch::kBFloat16).requires_grad_();
  AdamW optimizer(NamedTensors{{"w", w}}, AdamWOptions().threshold(2e-3).force(true).lr(1e-7).lambda_rank(0).weight_decay(0).progressive_iter(0));
  for (int64_t t = 1; t <= 1000; ++t) {
    w.sum().backward();
    optimizer.step(t, 1e-7);
  }
  const torch::Tensor moved = optimizer.values().values() - optimizer.values().base();
  EXPECT_EQ(moved.scalar_type(), torch::kFloat);
  EXPECT_TRUE(moved.allclose(torch::full({64}, -1e-4), 1e-2, 0));
}

TEST(Pitfalls, test_11_WeightDecayPullsToTheDocumentedTargetAndNotAtAllAtZero) {
  const auto after = [](double decay, const std::string& target) {
    Network network;
    AdamW optimizer(network.parameters, plain().weight_decay(decay).decay_to(target));
    for (int64_t t = 1; t <= 10; ++t) {
      (network.loss(t) * 0).backward();
      optimizer.step(t, 0.1);
    }
    return std::pair{optimizer.values().values().clone(), optimizer.values().base().clone()};
  };
  const auto [to_zero, base] = after(0.5, "zero");
  EXPECT_TRUE(to_zero.allclose(base * std::pow(1 - 0.1 * 0.5, 10), 1e-5, 0));
  EXPECT_TRUE(after(0.5, "base").first.equal(base));
  EXPECT_TRUE(after(0, "zero").first.equal(base));
}

TEST(Pitfalls, test_14_OneThreadAndTwoThreadsAgree) {
  const auto weights = [](int threads) {
    at::set_num_threads(threads);
    Network network;
    AdamW optimizer(network.parameters, plain().lambda_rank(1e-2).max_grad_norm(1));
    train(network, optimizer, 20);
    at::set_num_threads(1);
    return network.copies();
  };
  const auto one = weights(1), two = weights(2);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(one[i].allclose(two[i], 1e-4, 1e-6));
}

TEST(Pitfalls, test_15_NoGradientOfAnUnmaskedWeightIsKept) {
  Network network;
  AdamW optimizer(network.parameters, plain().exclude({"down"}));
  for (int64_t t = 1; t <= 2; ++t) {
    network.loss(t).backward();
    for (const auto& [name, weight] : network.parameters) EXPECT_FALSE(weight.grad().defined()) << name;
    EXPECT_GT(optimizer.values().gradient().abs().max().item<float>(), 0);
    EXPECT_EQ(optimizer.values().gradient().numel(), optimizer.values().active());
    optimizer.step(t, kRate);
  }
  EXPECT_FALSE(network.down.requires_grad());  // nothing selected there: no gradient is computed at all
}

// --- Rank loss
TEST(Pitfalls, test_16_LambdaActs) {
  const auto weights = [](double lambda) {
    Network network;
    AdamW optimizer(network.parameters, plain().lambda_rank(lambda).rank_mode("all"));
    train(network, optimizer, 10);
    return network.copies();
  };
  const auto without = weights(0), with = weights(100), expected = dense_reference(10, 1e-2);
  for (const size_t matrix : {2, 3, 4}) EXPECT_FALSE(without[matrix].equal(with[matrix]));
  for (size_t i = 0; i < without.size(); ++i) EXPECT_TRUE(without[i].allclose(expected[i], 1e-4, 1e-6));
}

TEST(Pitfalls, test_17_TheRankGradientIsUVtRestrictedToTheMask) {
  torch::manual_seed(6);
  for (const auto& [rows, columns, kind] : {std::tuple{20, 30, 0}, {64, 64, 0}, {1, 40, 0}, {40, 60, 1}, {64, 64, 1}}) {
    torch::Tensor dense = torch::randn({rows, columns}) * torch::rand({rows, columns}).lt(0.4) * 1e-3;
    if (kind == 1) dense.narrow(0, rows / 2, rows / 2).copy_(dense.narrow(0, 0, rows / 2));  // half the rank
    const torch::Tensor indices = dense.view(-1).nonzero().view(-1).to(torch::kInt), values = gather(dense, indices);
    const torch::Tensor gradient = nuclear_norm(values, indices, rows, columns).gradient.to(torch::kDouble);
    const torch::Tensor exact = gather(polar_factor_by_svd(dense), indices);
    EXPECT_LT(((gradient - exact).norm() / exact.norm()).item<double>(), 1e-3) << rows << "x" << columns << " kind " << kind;
    if (kind == 1 || rows == 64) continue;  // a finite difference needs a point where the norm is smooth
    const auto norm = [&](const torch::Tensor& v) {
      return at::linalg_svdvals(torch::zeros({rows * columns}, torch::kDouble).index_copy(0, indices.to(torch::kLong), v).view({rows, columns})).sum().item<double>();
    };
    for (int64_t k = 0; k < values.numel(); k += 11) {
      torch::Tensor up = values.to(torch::kDouble), down = up.clone();
      up[k] += 1e-8;
      down[k] -= 1e-8;
      EXPECT_NEAR(gradient[k].item<double>(), (norm(up) - norm(down)) / 2e-8, 1e-3);
    }
  }
}

TEST(Pitfalls, test_18_TheRankGradientDoesNotPileUp) {
  Network network;
  AdamW optimizer(network.parameters, plain().lambda_rank(0.1).rank_mode("all"));
  std::vector<StepReport> reports;
  for (int64_t t = 1; t <= 3; ++t) {
    (network.loss(1) * 0).backward();
    reports.push_back(optimizer.step(t, 0));  // rate 0: the same weights at each step
    EXPECT_EQ(optimizer.values().gradient().abs().max().item<float>(), 0);
  }
  EXPECT_GT(reports[0].grad_norm, 0);
  EXPECT_EQ(reports[0].grad_norm, reports[1].grad_norm);
  EXPECT_EQ(reports[0].grad_norm, reports[2].grad_norm);
  EXPECT_EQ(reports[0].rank_loss, reports[2].rank_loss);
}

TEST(Pitfalls, test_19_OneMatrixAStepIsUnbiasedAndConvolutionsEnterAsMatrices) {
  const auto loss = [](const char* mode, const char* layers, const char* reduction, int64_t draws) {
    Network network;
    AdamW optimizer(network.parameters, plain().lambda_rank(1).rank_mode(mode).rank_layers(layers).rank_reduction(reduction));
    double sum = 0;
    for (int64_t t = 1; t <= draws; ++t) sum += optimizer.step(t, 0).rank_loss;
    return sum / static_cast<double>(draws);
  };
  for (const char* reduction : {"mean", "sum"}) {
    EXPECT_NEAR(loss("one", "linear", reduction, 2000) / loss("all", "linear", reduction, 1), 1, 0.05);
    EXPECT_NEAR(loss("one", "all", reduction, 2000) / loss("all", "all", reduction, 1), 1, 0.05);
  }
  Network network;
  const torch::Tensor conv = (network.conv * network.conv.abs().lt(kThreshold)).detach().view({8, 27});
  EXPECT_NEAR(loss("all", "all", "sum", 1) - loss("all", "linear", "sum", 1), at::linalg_svdvals(conv.to(torch::kDouble)).sum().item<double>(), 1e-4);
}

TEST(Pitfalls, test_20_AModelWithoutMatricesTrainsWithARankLoss) {
  const torch::Tensor bias = torch::linspace(-1, 1, 40).requires_grad_();
  AdamW optimizer(NamedTensors{{"bias", bias}}, AdamWOptions().threshold(0.3).lr(kRate).lambda_rank(1).progressive_iter(0));
  const torch::Tensor before = bias.detach().clone();
  bias.sum().backward();
  EXPECT_EQ(optimizer.step(1, kRate).rank_loss, 0);
  EXPECT_FALSE(bias.equal(before));
}

TEST(Pitfalls, test_23_TheRankTermIsClippedLoggedAndCountedOncePerOptimizerStep) {
  const auto first_step = [](int64_t parts, double limit, double lambda) {
    Network network;
    AdamW optimizer(network.parameters, plain().lambda_rank(lambda).rank_mode("all").max_grad_norm(limit));
    for (int64_t part = 0; part < parts; ++part) (network.loss(1, part * (4 / parts), 4 / parts) / double(parts)).backward();
    const StepReport report = optimizer.step(1, kRate);
    return std::pair{report.grad_norm, optimizer.values().exp_avg().norm().item<double>() / 0.1};  // exp_avg = (1 - 0.9) x the clipped gradient
  };
  const auto [norm, clipped] = first_step(1, 0.5, 1e4);
  EXPECT_GT(norm, 1e3);
  EXPECT_NEAR(clipped, 0.5, 1e-4);
  EXPECT_NEAR(first_step(4, 0.5, 1e4).first, norm, 1e-3 * norm);
}

// --- Switch
struct Pair {
  Network with, without;
  AdamW switching, steady;
  explicit Pair(int64_t at) : switching(with.parameters, plain().progressive_iter(at)), steady(without.parameters, plain()) {}
};

// The entries of the steady run's buffer where the switching run is still active.
torch::Tensor at_survivors(const Pair& pair, const torch::Tensor& buffer) {
  std::vector<torch::Tensor> out;
  for (size_t i = 0; i < pair.switching.values().slots().size(); ++i) {
    const auto& now = pair.switching.values().slots()[i];
    const auto& first = pair.steady.values().slots()[i];
    out.push_back(Values::span(buffer, first).index_select(0, at::searchsorted(first.indices, now.indices)));
  }
  return torch::cat(out);
}

TEST(Pitfalls, test_24_MomentsAndStepCountOfSurvivorsAreKept) {
  Pair pair(5);
  train(pair.with, pair.switching, 5);
  train(pair.without, pair.steady, 5);
  const Values& values = pair.switching.values();
  ASSERT_LT(values.active(), values.selected());
  ASSERT_GT(values.active(), 0);
  EXPECT_TRUE(values.exp_avg().equal(at_survivors(pair, pair.steady.values().exp_avg())));
  EXPECT_TRUE(values.exp_avg_sq().equal(at_survivors(pair, pair.steady.values().exp_avg_sq())));
  train(pair.with, pair.switching, 1, 6);
  train(pair.without, pair.steady, 1, 6);
  EXPECT_TRUE(values.values().allclose(at_survivors(pair, pair.steady.values().values()), 1e-6, 1e-9));
}

TEST(Pitfalls, test_25_TheStepThatSwitchesIsNotLost) {
  Pair pair(5);
  const auto reports = train(pair.with, pair.switching, 5);
  train(pair.without, pair.steady, 5);
  EXPECT_TRUE(reports[4].reselected);
  EXPECT_TRUE(pair.with.equals(pair.without.copies()));
}

TEST(Pitfalls, test_26_ValuesAndSignsSurviveTheSwitch) {
  Network network;
  AdamW optimizer(network.parameters, plain().progressive_iter(3).weight_decay(0));
  train(network, optimizer, 2);
  const auto before = network.copies();
  EXPECT_TRUE(optimizer.step(3, 0).reselected);  // rate 0: only the switch happens
  EXPECT_TRUE(network.equals(before));
  optimizer.values().scatter_();
  EXPECT_TRUE(network.equals(before));
  EXPECT_GT(optimizer.values().values().lt(0).sum().item<int64_t>(), optimizer.values().active() / 4);
}

TEST(Pitfalls, test_27_TheNewSetIsWhatIsStillBelowAndLeaversKeepWhatTheyLearned) {
  Network network;
  const auto base = network.copies();
  AdamW optimizer(network.parameters, plain().progressive_iter(5));
  train(network, optimizer, 5);
  const auto at_switch = network.copies();
  const auto slots = optimizer.values().slots();
  for (size_t i = 0; i < base.size(); ++i) {
    const torch::Tensor expected = (base[i].abs().lt(kThreshold) & at_switch[i].abs().lt(kThreshold)).view(-1).nonzero().view(-1);
    for (const auto& slot : slots) {
      if (slot.name != network.parameters[i].first) continue;
      EXPECT_TRUE(slot.indices.to(torch::kLong).equal(expected)) << slot.name;
    }
  }
  train(network, optimizer, 5, 6);
  for (size_t i = 0; i < base.size(); ++i) {
    const torch::Tensor left = base[i].abs().lt(kThreshold) & at_switch[i].abs().ge(kThreshold), now = network.parameters[i].second.detach();
    EXPECT_TRUE(now.masked_select(left).equal(at_switch[i].masked_select(left)));
    for (const Learned& item : optimizer.values().learned()) {
      if (item.name != network.parameters[i].first) continue;
      EXPECT_TRUE(item.values.equal(gather(now, item.indices))) << item.name;
    }
  }
}

// --- Loop and files
TEST(Pitfalls, test_30_FourBatchesOfOneAreOneBatchOfFour) {
  const auto trained = [](int64_t parts) {
    Network network;
    AdamW optimizer(network.parameters, plain());
    for (int64_t t = 1; t <= 10; ++t) {
      for (int64_t part = 0; part < parts; ++part) (network.loss(t, part * (4 / parts), 4 / parts) / double(parts)).backward();
      optimizer.step(t, kRate);
    }
    return std::tuple{optimizer.values().values().clone(), optimizer.values().exp_avg().clone(), optimizer.values().exp_avg_sq().clone()};
  };
  const auto [values4, first4, second4] = trained(4);
  const auto [values1, first1, second1] = trained(1);
  EXPECT_TRUE(values4.allclose(values1, 1e-3, 1e-5));
  EXPECT_TRUE(first4.allclose(first1, 1e-3, 1e-6));
  EXPECT_TRUE(second4.allclose(second1, 1e-3, 1e-8));
}

TEST(Pitfalls, test_31_ClippingUsesTheTrueNormOfTheCompactGradient) {
  Network network;
  AdamW optimizer(network.parameters, plain().max_grad_norm(1e-3));
  network.loss(1).backward();
  const double norm = optimizer.values().gradient().to(torch::kDouble).norm().item<double>();
  const torch::Tensor gradient = optimizer.values().gradient().clone();
  EXPECT_NEAR(optimizer.step(1, kRate).grad_norm, norm, 1e-9 * norm);
  EXPECT_GT(norm, 1e-3);
  EXPECT_TRUE(optimizer.values().exp_avg().allclose(0.1 * gradient * (1e-3 / norm), 1e-4, 1e-12));
}

TEST(Pitfalls, test_51_AnInterruptedSaveLeavesTheFileThatWasThere) {
  const auto path = std::filesystem::temp_directory_path() / ("sara_pitfall_51_" + std::to_string(getpid()));
  write_file(path.string(), "the last good one");
  {
    AtomicFile file(path.string());
    file.write("half of the n", 13);
  }  // gone before commit()
  std::ifstream in(path);
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(in), {}), "the last good one");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace sara
