// SPDX-License-Identifier: Apache-2.0
#include "tests/parity/probe/probe.h"

#include <torch/torch.h>

#include "sara/samplers/registry.h"

// Walks a whole trajectory with a small deterministic "denoiser", output_i = scale tanh(mix shown + bias_i), and gives back
// every sample. config: name, scheduler (the JSON of scheduler_config.json), eta, steps, seed, scale, mix. tensors: noise.
SARA_PROBE(sampler) {
  const auto config = sara::SchedulerConfig::from_json(in.config.at("scheduler"));
  const auto sampler = sara::make_sampler(in.config.at("name").get<std::string>(), config, in.config.value("eta", 0.0));
  sampler->set_timesteps(in.config.at("steps").get<int64_t>());
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(in.config.at("seed").get<uint64_t>());
  const double scale = in.config.at("scale").get<double>(), mix = in.config.at("mix").get<double>();

  torch::Tensor sample = in.tensors.at("noise") * sampler->init_noise_sigma();
  std::vector<torch::Tensor> trajectory = {sample};
  for (size_t i = 0; i < sampler->timesteps().size(); ++i) {
    const torch::Tensor shown = sampler->scale_model_input(sample, i);
    const double bias = sampler->timesteps()[i] / double(config.num_train_timesteps) - 0.5;
    sample = sampler->step((shown * mix + bias).tanh() * scale, i, sample, generator);
    trajectory.push_back(sample);
  }
  out["trajectory"] = torch::stack(trajectory);
  out["timesteps"] = torch::tensor(sampler->timesteps(), torch::kFloat64);
}
