// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "sara/base/options.h"

namespace sara {

// The loop's own options; defaults are the paper's (App. B, K). The seed is the method's.
struct TrainOptions {
  int64_t steps = 5000;
  int64_t batch_size = 4;
  int64_t gradient_accumulation_steps = 1;
  std::string lr_scheduler = "cosine";
  int64_t lr_warmup_steps = 0;
  std::string precision = "fp32";
  double caption_dropout = 0.0;
  int64_t min_timestep = 0;
  std::optional<int64_t> max_timestep;
  double noise_offset = 0.0;
  std::optional<double> snr_gamma;
  int64_t max_skipped_steps = 5;
  bool cuda_graph = false;

  template <class V>
  void visit(V&& v) {
    v("steps", steps, "Optimizer steps", at_least(1));
    v("batch_size", batch_size, "Images a micro-batch", at_least(1));
    v("gradient_accumulation_steps", gradient_accumulation_steps, "Micro-batches an optimizer step", at_least(1));
    v("lr_scheduler", lr_scheduler, "Curve of the learning rate", one_of({"cosine", "linear", "constant", "constant_with_warmup"}));
    v("lr_warmup_steps", lr_warmup_steps, "Steps over which the rate rises from 0; not with constant", at_least(0));
    v("precision", precision, "Type the denoiser's weights are stored and computed in; trained values are always fp32; fp16 trains with a dynamic loss scale", one_of({"fp32", "bf16", "fp16"}));
    v("caption_dropout", caption_dropout, "Share of captions replaced by the empty one", between(0, 1));
    v("min_timestep", min_timestep, "First timestep that is trained; what lies before it stays the base's", at_least(0));
    v("max_timestep", max_timestep, "Timestep before which training ends (default: all of the model's): a style alone needs no timesteps near pure noise, where the layout is decided", at_least(1));
    v("noise_offset", noise_offset, "Adds this times one normal draw per image and channel to the noise", at_least(0));
    v("snr_gamma", snr_gamma, "Loss weight min(SNR, g) / SNR, or / (SNR + 1) for v-prediction (default: none)", above(0));
    v("max_skipped_steps", max_skipped_steps, "Non-finite steps in a row after which training stops", at_least(1));
    v("cuda_graph", cuda_graph, "Record the passes of a step as one CUDA graph and start that: less work for the host, for small batches on fast devices");
  }
};

}  // namespace sara
