// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "sara/samplers/sampler.h"

namespace sara {

// The samplers by name: ddpm, ddim, euler, euler_ancestral, pndm, flow_match, dpm++2m.
std::vector<std::string> sampler_names();

// `name` is one of sampler_names() or the diffusers class of one (DDIMScheduler, ...). `config` may come from any scheduler
// class: what its file says stays, all else takes the chosen sampler's defaults. `eta` is DDIM's share of fresh noise.
// Throws InvalidArgument for an unknown name, listing the known ones; for settings the sampler does not have; for a
// flow-matching config with a sampler of the others and the other way round; and for an eta above 0 with a sampler that has none.
std::unique_ptr<Sampler> make_sampler(const std::string& name, const SchedulerConfig& config, double eta = 0.0);

}  // namespace sara
