// SPDX-License-Identifier: Apache-2.0
#include "cli/adapter_choice.h"

#include <charconv>
#include <cmath>
#include <filesystem>

#include "sara/base/error.h"
#include "sara/layers/conv.h"
#include "sara/weights/adapter_base.h"
#include "sara/weights/applied_adapters.h"

namespace sara::cli {
namespace {

bool same_precision(const std::vector<ScaledAdapter>& adapters) {
  for (const auto& [adapter, scale] : adapters) {
    if (training_dtype(adapter) != training_dtype(adapters.front().adapter)) return false;
  }
  return true;
}

}  // namespace

std::optional<double> finite_number(const std::string& text) {
  double number = 0;
  const auto [stopped, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stopped != text.data() + text.size() || !std::isfinite(number)) return std::nullopt;
  return number;
}

std::pair<std::string, double> adapter_and_scale(const std::string& text) {
  std::error_code ignored;
  const auto colon = text.rfind(':');
  if (colon == std::string::npos || std::filesystem::exists(text, ignored)) return {text, 1.0};
  const auto scale = finite_number(text.substr(colon + 1));
  if (!scale) {
    throw InvalidArgument(message("--adapter: the scale is not a number (expected FILE or FILE:SCALE such as ", escaped(text.substr(0, colon)), ":0.8, got ",
                                  escaped(text), ")"));
  }
  return {text.substr(0, colon), *scale};
}

std::vector<ScaledAdapter> load_adapters(const AdapterOptions& options) {
  std::vector<ScaledAdapter> adapters;
  for (const auto& text : options.adapter) {
    const auto [path, scale] = adapter_and_scale(text);
    adapters.push_back({load_adapter(path), scale});
  }
  return adapters;
}

std::shared_ptr<Denoiser> load_adapted_denoiser(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, bool force, c10::ScalarType dtype,
                                                c10::Device device) {
  if (adapters.empty()) return model.load_denoiser(dtype, device);
  auto denoiser = model.load_denoiser(same_precision(adapters) ? training_dtype(adapters.front().adapter) : c10::kFloat);
  NamedTensors tensors;
  for (auto& item : denoiser->named_parameters()) tensors.emplace_back(model.denoiser_name() + "." + item.key(), item.value());
  if (!force) {
    for (const auto& [adapter, scale] : adapters) require_base(adapter, tensors, model.family());
  }
  AppliedAdapters applied(tensors, model.family());
  for (const auto& [adapter, scale] : adapters) applied.add(adapter, scale, /*force=*/true);  // checked above, in the type of its training
  denoiser->to(device, dtype);
  lay_out_for_device_(*denoiser);
  return denoiser;
}

}  // namespace sara::cli
