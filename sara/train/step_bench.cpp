// SPDX-License-Identifier: Apache-2.0
#include "sara/train/step_bench.h"

#include <ATen/Parallel.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/types.h>
#include <torch/version.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "sara/base/error.h"
#include "sara/ops/gradient_clock.h"
#include "sara/pipelines/text_to_image.h"
#include "sara/train/live_bytes.h"
#include "sara/train/loss.h"
#include "sara/train/process_memory.h"

namespace sara {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return (values[(values.size() - 1) / 2] + values[values.size() / 2]) / 2;
}

// Of work on a device: a lap ends when that has been done.
class Stopwatch {
 public:
  explicit Stopwatch(torch::Device device) : device_(device) { lap(); }
  double lap() {
    if (!device_.is_cpu()) c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index());
    const auto now = std::chrono::steady_clock::now();
    const double seconds = std::chrono::duration<double>(now - last_).count();
    last_ = now;
    return seconds;
  }

 private:
  torch::Device device_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// The statistics of a device's memory; null on the CPU.
c10::DeviceAllocator* device_memory_of(torch::Device device) { return device.is_cpu() ? nullptr : dynamic_cast<c10::DeviceAllocator*>(c10::GetAllocator(device.type())); }

constexpr int64_t kTextTokens = 77;

// While it lives no weight is trained.
class Frozen {
 public:
  explicit Frozen(const NamedTensors& tensors) {
    for (const auto& [name, tensor] : tensors)
      if (tensor.requires_grad()) trained_.push_back(tensor);
    set(false);
  }
  ~Frozen() { set(true); }
  Frozen(const Frozen&) = delete;
  Frozen& operator=(const Frozen&) = delete;

 private:
  void set(bool trained) const {
    for (const auto& tensor : trained_) tensor.set_requires_grad(trained);
  }
  std::vector<torch::Tensor> trained_;
};

struct PassSeconds {
  double forward, backward;
};

}  // namespace

Json bench_train_step(std::shared_ptr<Denoiser> denoiser, const std::string& component, int64_t pixels_a_latent, const StepBenchOptions& options,
                      const MemoryOptions& memory, MethodOptions method_options) {
  if (options.resolution % pixels_a_latent) {
    throw InvalidArgument(message("resolution: does not fit the model (expected a multiple of ", pixels_a_latent, ", got ", options.resolution, ")"));
  }
  NamedTensors tensors;
  for (auto& item : denoiser->named_parameters()) tensors.emplace_back(component + "." + item.key(), item.value());
  const auto method = make_method(options.method, tensors, method_options, 2 * (options.warmup + options.steps) + 2);  // its reselection comes after the last step
  const double lr = method_options.lr() ? *method_options.lr() : method->default_lr();

  const auto inputs = denoiser->inputs();
  const auto like = tensors.front().second.options().requires_grad(false);
  const torch::Device device = tensors.front().second.device();
  auto* const memory_of_device = device_memory_of(device);
  const int64_t side = options.resolution / pixels_a_latent;
  const auto frames = clip_frames(*denoiser, options.num_frames);
  const PassSize size{options.batch_size, side, side, kTextTokens, static_cast<int64_t>(like.dtype().itemsize()), frames.value_or(1)};
  std::vector<int64_t> shape{options.batch_size, inputs.latent_channels, side, side};
  if (frames) shape.insert(shape.begin() + 2, *frames);
  const MemoryLevel level = choose_memory_level(*denoiser, size, memory, kStateBytes * method->trained());
  torch::manual_seed(method_options.seed());
  std::vector<double> forward, backward, optimizer, rank, step_seconds, frozen_forward, frozen_backward, beyond_frozen, weight_gradients;
  int64_t saved = 0;
  for (int64_t step = 1; step <= options.warmup + options.steps; ++step) {
    const auto sample = torch::randn(shape).to(like);
    const auto target = torch::randn(shape).to(like);
    const auto context = torch::randn({options.batch_size, kTextTokens, inputs.text_width}).to(like);
    const auto timesteps = torch::randint(0, 1000, {options.batch_size}).to(device);
    AddedConditions added;
    if (inputs.pooled_width > 0) added.pooled_text = torch::randn({options.batch_size, inputs.pooled_width}).to(like);
    if (inputs.time_ids) added.time_ids = torch::tensor({options.resolution, options.resolution, int64_t{0}, int64_t{0}, options.resolution, options.resolution}).expand({options.batch_size, -1}).to(device);
    const auto passes = [&](const torch::Tensor& latents) {
      Stopwatch watch(device);
      torch::Tensor loss;
      {
        const LiveBytes live(device);
        loss = denoising_loss(denoiser->forward(latents, timesteps, context, added), target, {});
        saved = live.now();
      }
      const double forward_s = watch.lap();
      loss.backward();
      loss.reset();
      return PassSeconds{forward_s, watch.lap()};
    };
    std::optional<PassSeconds> frozen;
    if (options.compare_frozen) {
      const Frozen all(tensors);
      frozen = passes(sample.clone().requires_grad_());
    }
    if (memory_of_device && step == options.warmup + 1) memory_of_device->resetPeakStats(device.index());
    const double gradients_before = weight_gradient_seconds();
    const auto [forward_s, backward_s] = passes(sample);
    const double gradients_s = weight_gradient_seconds() - gradients_before;
    Stopwatch watch(device);
    const auto report = method->step(step, lr);
    const double optimizer_s = watch.lap();
    if (step <= options.warmup) continue;
    forward.push_back(forward_s);
    backward.push_back(backward_s);
    optimizer.push_back(optimizer_s);
    rank.push_back(report.rank_seconds);
    weight_gradients.push_back(gradients_s);
    step_seconds.push_back(forward_s + backward_s + optimizer_s);
    if (!frozen) continue;
    frozen_forward.push_back(frozen->forward);
    frozen_backward.push_back(frozen->backward);
    beyond_frozen.push_back(backward_s - frozen->backward);
  }
  const double peak = double(peak_resident_bytes()) / 1e9, rank_mean = method->rank_seconds();
  Json result{{"resolution", options.resolution},
            {"batch_size", options.batch_size},
            {"precision", options.precision},
            {"device", device.str()},
            {"method", options.method},
            {"memory", memory_level_name(level)},
            {"selected", method->trained()},
            {"threads", at::get_num_threads()},
            {"forward_s", median(forward)},
            {"backward_s", median(backward)},
            {"weight_gradients_s", median(weight_gradients)},
            {"optimizer_s", median(optimizer)},
            {"rank_s", median(rank)},
            {"rank_s_mean", rank_mean},
            {"step_s", median(step_seconds)},
            {"peak_rss_gb", peak},
            {"saved_activation_bytes", saved},
            {"samples", {{"forward_s", forward}, {"backward_s", backward}, {"weight_gradients_s", weight_gradients}, {"optimizer_s", optimizer}, {"rank_s", rank}, {"step_s", step_seconds}}},
            {"torch", TORCH_VERSION}};
  if (!device.is_cpu()) {
    result["weight_gradients_s"] = result["samples"]["weight_gradients_s"] = nullptr;  // the clock tells how long they took to queue
    if (memory_of_device) result["peak_device_gb"] = double(memory_of_device->getDeviceStats(device.index()).allocated_bytes[0].peak) / 1e9;
  }
  if (options.compare_frozen) {
    for (const auto& [name, seconds] : {std::pair{"frozen_forward_s", &frozen_forward}, {"frozen_backward_s", &frozen_backward}, {"beyond_frozen_s", &beyond_frozen}}) {
      result[name] = median(*seconds);
      result["samples"][name] = *seconds;
    }
  }
  return result;
}

}  // namespace sara
