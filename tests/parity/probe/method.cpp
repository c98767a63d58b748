// SPDX-License-Identifier: Apache-2.0
// Trains a small network by a named method, for comparison with a dense implementation in PyTorch.
// In: "w.<name>" weights, "x" [T, B, 3, 8, 8], "y" [T, B, 4]; config: method, lr, options by name, save (optional path).
// Out: "loss", "grad_norm", "rank_loss", "active" [T], "w.<name>" trained; with history = true, "history.<name>" [T, ...] after every step.
#include "sara/methods/registry.h"

#include <torch/nn/functional.h>

#include "probe.h"
#include "sara/optim/lr_curve.h"

namespace {

namespace F = torch::nn::functional;

torch::Tensor forward(const sara::TensorMap& w, torch::Tensor x) {
  x = F::conv2d(x, w.at("conv.weight"), F::Conv2dFuncOptions().bias(w.at("conv.bias")).padding(1));
  x = F::group_norm(x, F::GroupNormFuncOptions(4).weight(w.at("norm.weight")).bias(w.at("norm.bias")));
  x = F::avg_pool2d(F::silu(x), F::AvgPool2dFuncOptions(4)).flatten(1);
  return F::linear(F::silu(F::linear(x, w.at("up.weight"), w.at("up.bias"))), w.at("down.weight"), w.at("down.bias"));
}

// Sets the options that the config names.
struct FromJson {
  const sara::Json& json;
  void set(const sara::Json& value, std::vector<std::string>& field) const { field = value.get<std::vector<std::string>>(); }
  template <class T>
  void set(const sara::Json& value, T& field) const { field = value.get<T>(); }
  template <class T>
  void set(const sara::Json& value, std::optional<T>& field) const { field = value.get<T>(); }
  template <class T>
  void operator()(const char* name, T& field, const char*, const sara::Legal& = {}) const {
    if (json.contains(name)) set(json[name], field);
  }
};

}  // namespace

SARA_PROBE(method) {
  at::set_num_threads(in.config.value("threads", 1));
  sara::NamedTensors trainable;
  sara::TensorMap w;
  for (const auto& [name, tensor] : in.tensors)
    if (name.starts_with("w.")) trainable.emplace_back(name.substr(2), w[name.substr(2)] = tensor);
  sara::MethodOptions options;
  options.visit(FromJson{in.config.at("options")});
  const torch::Tensor x = in.tensors.at("x"), y = in.tensors.at("y");
  const int64_t steps = x.size(0), parts = in.config.value("accumulation", 1);
  const auto method = sara::make_method(in.config.at("method"), trainable, options, steps);
  std::vector<double> losses, norms, rank_losses, active;
  std::map<std::string, std::vector<torch::Tensor>> history;
  for (int64_t t = 1; t <= steps; ++t) {
    double sum = 0;
    const auto xs = x[t - 1].chunk(parts), ys = y[t - 1].chunk(parts);
    for (size_t part = 0; part < xs.size(); ++part) {
      const torch::Tensor loss = F::mse_loss(forward(w, xs[part]).to(torch::kFloat), ys[part]) / parts;
      loss.backward();
      sum += loss.item<double>();
    }
    const auto report = method->step(t, in.config.at("lr").get<double>() * sara::lr_curve("cosine", t, steps));
    losses.push_back(sum);
    norms.push_back(report.grad_norm);
    if (in.config.value("history", false))
      for (const auto& [name, tensor] : w) history[name].push_back(tensor.detach().clone());
    rank_losses.push_back(report.rank_loss);
    active.push_back(static_cast<double>(report.active));
  }
  out["loss"] = torch::tensor(losses, torch::kDouble);
  out["grad_norm"] = torch::tensor(norms, torch::kDouble);
  out["rank_loss"] = torch::tensor(rank_losses, torch::kDouble);
  out["active"] = torch::tensor(active, torch::kDouble);
  method->use_averages_();
  for (const auto& [name, tensors] : history) out["history." + name] = torch::stack(tensors);
  for (const auto& [name, tensor] : w) out["w." + name] = tensor.detach();
  if (in.config.contains("save")) method->save(in.config.at("save"), {{"family", "test"}});
}
