// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "sara/files/json.h"
#include "sara/methods/registry.h"
#include "sara/models/denoiser.h"
#include "sara/train/memory_options.h"

namespace sara {

// What one training step costs: random latents, noise and text of the model's shapes (never zeros), real method.
struct StepBenchOptions {
  int64_t resolution = 256;
  int64_t batch_size = 1;
  std::string precision = "fp32";
  std::string device = "auto";
  std::string method = "sara";
  int64_t steps = 6;
  int64_t warmup = 2;
  std::optional<int64_t> num_frames;
  bool compare_frozen = false;

  template <class V>
  void visit(V&& v) {
    v("resolution", resolution, "Side of the picture in pixels", between(8, 8192));
    v("batch_size", batch_size, "Pictures a step", at_least(1));
    v("precision", precision, "Type of the denoiser's weights", one_of({"fp32", "bf16"}));
    v("device", device, "auto, cpu, cuda or cuda:N");
    v("method", method, "Training method", one_of({"sara", "full"}));
    v("steps", steps, "Timed steps; medians are printed", at_least(1));
    v("warmup", warmup, "Steps before the timed ones", at_least(0));
    v("num_frames", num_frames, "Frames of a clip, for AnimateDiff models (default: 16)", between(1, 1024));
    v("compare_frozen", compare_frozen, "Before each step time the same passes with every weight frozen; prints beyond_frozen_s");
  }
};

// Pixels a latent: 2^3 in every published Stable Diffusion.
constexpr int64_t kPublishedFactor = 8;

// component: the denoiser's name in its model ("unet"), in front of the names of its weights. Throws InvalidArgument when the resolution is no
// multiple of pixels_a_latent. The denoiser lies where it is to be measured; on a device every clock waits for it, weight_gradients_s is null and peak_device_gb
// is what its tensors took at most in a timed step. Medians in seconds: forward_s, backward_s (with weight_gradients_s inside, read from the clock of ops/gradient_clock.h),
// optimizer_s (with rank_s inside), step_s; peak_rss_gb; saved_activation_bytes; selected, threads, torch, and the memory level taken. samples holds the
// seconds of every timed step under the same names. The steps are those of a run at least twice as long: what is trained stays the same to the last.
// compare_frozen: before each step the same passes with every weight frozen, through which only the input gradients flow (frozen_forward_s,
// frozen_backward_s). beyond_frozen_s is the median over steps of backward minus frozen backward: all that training costs the backward pass, and the
// noise of two passes.
// rank_s varies with the matrix that is drawn; rank_s_mean is its mean over all draws, from a matrix of every shape.
Json bench_train_step(std::shared_ptr<Denoiser> denoiser, const std::string& component, int64_t pixels_a_latent, const StepBenchOptions& options, const MemoryOptions& memory, MethodOptions method);

}  // namespace sara
