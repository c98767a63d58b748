// SPDX-License-Identifier: Apache-2.0
#include "tests/parity/probe/probe.h"

#include <torch/types.h>

#include "sara/base/message.h"
#include "sara/samplers/registry.h"

// Walks whole trajectories with a small deterministic "denoiser", output_i = scale tanh(mix shown + bias_i), and gives back
// every sample as trajectory.K and the timesteps as timesteps.K. config: scale, mix, seed and cases, a list of
// {name, scheduler (the JSON of scheduler_config.json), eta, steps}. tensors: noise.
SARA_PROBE(sampler) {
  const double scale = in.config.at("scale").get<double>(), mix = in.config.at("mix").get<double>();
  int64_t number = 0;
  for (const auto& request : in.config.at("cases")) {
    const auto config = sara::SchedulerConfig::from_json(request.at("scheduler"));
    const auto sampler = sara::make_sampler(request.at("name").get<std::string>(), config, request.value("eta", 0.0));
    sampler->set_timesteps(request.at("steps").get<int64_t>());
    const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(in.config.at("seed").get<uint64_t>());
    torch::Tensor sample = in.tensors.at("noise") * sampler->init_noise_sigma();
    std::vector<torch::Tensor> trajectory = {sample};
    for (size_t i = 0; i < sampler->timesteps().size(); ++i) {
      const torch::Tensor shown = sampler->scale_model_input(sample, i);
      const double bias = sampler->timesteps()[i] / double(config.num_train_timesteps) - 0.5;
      sample = sampler->step((shown * mix + bias).tanh() * scale, i, sample, generator);
      trajectory.push_back(sample);
    }
    out[sara::message("trajectory.", number)] = torch::stack(trajectory);
    out[sara::message("timesteps.", number)] = torch::tensor(sampler->timesteps(), torch::kFloat64);
    ++number;
  }
}
