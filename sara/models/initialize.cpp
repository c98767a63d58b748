// SPDX-License-Identifier: Apache-2.0
#include "sara/models/initialize.h"

#include "sara/base/error.h"
#include "sara/base/random.h"
#include "sara/layers/conv.h"
#include "sara/layers/embedding.h"
#include "sara/layers/linear.h"
#include "sara/layers/norm.h"
#include "sara/layers/patch_embed.h"
#include "sara/layers/rms_norm.h"
#include "sara/models/clip_text.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <torch/nn/module.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <string>
#include <vector>

namespace sara {
namespace {

enum class Law { constant, uniform, normal };

struct Fill {
  std::string name;
  torch::Tensor tensor;
  Law law;
  double scale;  // the constant, the bound or the standard deviation
};

using Fills = std::vector<Fill>;

void plan_default(const std::string& prefix, torch::nn::Module& module, Fills& fills) {
  const auto weight_and_bias = [&](const torch::Tensor& weight, const torch::Tensor& bias) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(weight.numel() / weight.size(0)));
    fills.push_back({prefix + "weight", weight, Law::uniform, bound});
    if (bias.defined()) fills.push_back({prefix + "bias", bias, Law::uniform, bound});
  };
  const auto one_and_zero = [&](const torch::Tensor& weight, const torch::Tensor& bias) {
    fills.push_back({prefix + "weight", weight, Law::constant, 1});
    fills.push_back({prefix + "bias", bias, Law::constant, 0});
  };
  if (auto* linear = dynamic_cast<Linear*>(&module)) weight_and_bias(linear->weight, linear->bias);
  if (auto* conv = dynamic_cast<Conv2d*>(&module)) weight_and_bias(conv->weight, conv->bias);
  if (auto* norm = dynamic_cast<GroupNorm*>(&module)) one_and_zero(norm->weight, norm->bias);
  if (auto* norm = dynamic_cast<LayerNorm*>(&module)) one_and_zero(norm->weight, norm->bias);
  if (auto* norm = dynamic_cast<RmsNorm*>(&module)) fills.push_back({prefix + "weight", norm->weight, Law::constant, 1});
  if (auto* table = dynamic_cast<Embedding*>(&module))
    fills.push_back({prefix + "weight", table->weight, Law::normal, 1});
}

void plan_clip_text(const std::string& prefix, const ClipTextModel& model, Fills& fills) {
  const double width = static_cast<double>(model.config().hidden_size);
  const double layers = static_cast<double>(model.config().num_hidden_layers);
  const double factor = model.config().initializer_factor;
  for (const auto& item : model.named_parameters()) {
    const std::string& name = item.key();
    const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
    Fill fill{prefix + name, item.value(), Law::normal, 0};
    if (has("norm"))
      fill = {prefix + name, item.value(), Law::constant, name.ends_with(".weight") ? 1.0 : 0.0};
    else if (name.ends_with(".bias"))
      fill.law = Law::constant;
    else if (has(".embeddings."))
      fill.scale = factor * 0.02;
    else if (has(".out_proj.") || has("text_projection"))
      fill.scale = factor / std::sqrt(width);
    else if (has(".fc1."))
      fill.scale = factor / std::sqrt(2 * width);
    else
      fill.scale = factor / std::sqrt(2 * layers * width);
    fills.push_back(fill);
  }
}

void draw(const Fill& fill, uint64_t seed) {
  const torch::NoGradGuard no_grad;  // here, because grad mode belongs to the thread
  if (fill.law == Law::constant) {
    fill.tensor.fill_(fill.scale);
    return;
  }
  const bool direct =
      fill.tensor.is_cpu() && fill.tensor.scalar_type() == torch::kFloat32 && fill.tensor.is_contiguous();
  const auto values = direct ? fill.tensor : torch::empty(fill.tensor.sizes(), torch::kFloat32);
  auto generator = at::detail::createCPUGenerator(stream_key(seed, fill.name));
  if (fill.law == Law::uniform)
    values.uniform_(-fill.scale, fill.scale, generator);
  else
    values.normal_(0, fill.scale, generator);
  if (!direct) fill.tensor.copy_(values);
}

}  // namespace

void initialize_(torch::nn::Module& model, uint64_t seed) {
  Fills fills;
  if (auto* text = dynamic_cast<ClipTextModel*>(&model)) {
    plan_clip_text("", *text, fills);
  } else {
    plan_default("", model, fills);
    // Without itself: a model on the stack has no shared pointer to itself.
    for (const auto& item : model.named_modules("", /*include_self=*/false)) {
      plan_default(item.key() + ".", *item.value(), fills);
      if (auto* patches = dynamic_cast<PatchEmbed*>(item.value().get())) patches->fill_table_();
    }
  }
  SARA_CHECK(fills.size() == model.parameters().size(), "a parameter belongs to no known layer");

  // Largest first, taken from one counter: the threads finish together.
  std::ranges::stable_sort(fills, [](const Fill& a, const Fill& b) { return a.tensor.numel() > b.tensor.numel(); });
  std::atomic<size_t> next{0};
  at::parallel_for(0, at::get_num_threads(), 1, [&](int64_t, int64_t) {
    for (size_t i = next++; i < fills.size(); i = next++) draw(fills[i], seed);
  });
}

}  // namespace sara
