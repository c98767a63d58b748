// SPDX-License-Identifier: Apache-2.0
#include "sara/train/encoding.h"

#include <torch/utils.h>

#include "sara/base/log.h"
#include "sara/base/tensor_memory.h"
#include "sara/train/several_processes.h"
#include "sara/weights/precision.h"

namespace sara {
namespace {

constexpr int64_t kT5Length = 77;  // tokens of a training caption

CacheProgress cache_progress(const char* what) {
  return [what](int64_t done, int64_t total) { log_progress(message(what, " ", done, "/", total), done == total); };
}

// Latents and text of every sample; both encoders live only inside.
TrainingData encode(const FineTuneRequest& request, const ModelFolder& model, const std::vector<Sample>& samples, const TransformOptions& transforms,
                    c10::Device device) {
  TrainingData data;
  const std::string folder = request.run.cache.value_or("");
  {
    const auto text = load_text_conditioner(model, text_dtype(request, model), device, t5_length(request, model));
    data.text = cache_text(samples, *text.tokenizer, {.folder = folder, .encoder_hash = message(text_encoders_hash(model), "|", t5_length(request, model).value_or(0), "|", text_dtype(request, model))},
                           [&](const torch::Tensor& ids) { return text.encode(ids); }, cache_progress("captions"));
    // A dropped caption is to the denoiser what an absent prompt is when pictures are drawn.
    if (text.zeros_when_absent) {
      data.text.hidden[TextCache::kEmpty].zero_();
      data.text.pooled[TextCache::kEmpty].zero_();
    }
  }
  const auto vae = model.load_vae(torch::kFloat, device);
  data.latents = cache_latents(samples.front().frames.empty() ? samples : frames_of(samples), transforms, {.folder = folder, .encoder_hash = model.component_hash("vae")},
                               [&](const torch::Tensor& pixels) {
                                 const auto posterior = vae->encode(pixels.to(device));
                                 return LatentDistribution{posterior.mean, (0.5 * posterior.logvar).exp()};
                               },
                               cache_progress("latents"));
  return data;
}

}  // namespace

std::optional<int64_t> t5_length(const FineTuneRequest& request, const ModelFolder& model) {
  if (request.run.max_sequence_length || model.family() != "sd3") return request.run.max_sequence_length;
  return kT5Length;
}

c10::ScalarType text_dtype(const FineTuneRequest& request, const ModelFolder& model) {
  return model.family() == "sd3" ? dtype_from_precision(request.train.precision) : torch::kFloat;
}

TrainingData encode_training_data(const FineTuneRequest& request, const ModelFolder& model, const std::vector<Sample>& samples, c10::Device device,
                           ProcessGroup& group) {
  const torch::NoGradGuard no_grad;
  TrainingData data;
  if (group.is_first()) data = encode(request, model, samples, request.transforms, device);
  give_back_free_memory();  // of the encoders
  share_encoded_(data, group);
  data.transforms = request.transforms;
  const auto vae = model.read_config<VaeConfig>("vae");
  data.scaling_factor = vae.scaling_factor;
  data.shift_factor = vae.shift_factor.value_or(0.0);
  if (!samples.front().frames.empty()) data.clips.emplace(samples, request.clips);
  return data;
}

}  // namespace sara
