// SPDX-License-Identifier: Apache-2.0
#include "sara/samplers/registry.h"

#include "sara/base/error.h"
#include "sara/base/options.h"
#include "sara/samplers/ddim.h"
#include "sara/samplers/ddpm.h"
#include "sara/samplers/dpm_solver.h"
#include "sara/samplers/euler.h"
#include "sara/samplers/euler_ancestral.h"
#include "sara/samplers/flow_match.h"
#include "sara/samplers/pndm.h"

namespace sara {
namespace {

struct Entry {
  const char* name;
  const char* class_name;
  bool has_eta;
  std::unique_ptr<Sampler> (*make)(const SchedulerConfig&, double eta);
};

template <class T>
std::unique_ptr<Sampler> plain(const SchedulerConfig& config, double) {
  return std::make_unique<T>(config);
}

constexpr Entry kSamplers[] = {
    {"ddpm", "DDPMScheduler", false, plain<DdpmSampler>},
    {"ddim", "DDIMScheduler", true,
     [](const SchedulerConfig& config, double eta) -> std::unique_ptr<Sampler> { return std::make_unique<DdimSampler>(config, eta); }},
    {"euler", "EulerDiscreteScheduler", false, plain<EulerSampler>},
    {"euler_ancestral", "EulerAncestralDiscreteScheduler", false, plain<EulerAncestralSampler>},
    {"pndm", "PNDMScheduler", false, plain<PndmSampler>},
    {"flow_match", "FlowMatchEulerDiscreteScheduler", false, plain<FlowMatchSampler>},
    {"dpm++2m", "DPMSolverMultistepScheduler", false, plain<DpmSolverSampler>},
};

}  // namespace

std::vector<std::string> sampler_names() {
  std::vector<std::string> names;
  for (const Entry& entry : kSamplers) names.push_back(entry.name);
  return names;
}

std::unique_ptr<Sampler> make_sampler(const std::string& name, const SchedulerConfig& config, double eta) {
  for (const Entry& entry : kSamplers) {
    if (name != entry.name && name != entry.class_name) continue;
    if (eta != 0 && !entry.has_eta)
      throw InvalidArgument(message("sampler ", name, " has no eta (expected 0, got ", eta, "). Fix: leave it out, or use ddim"));
    const bool for_flow = std::string(entry.class_name) == "FlowMatchEulerDiscreteScheduler";
    if (for_flow != config.is_flow())
      throw InvalidArgument(for_flow ? "sampler flow_match is for flow-matching models such as SD 3. Fix: use another --sampler, such as ddim"
                                     : message("sampler ", name, " cannot draw with a flow-matching model. Fix: use --sampler flow_match"));
    return entry.make(config.for_class(entry.class_name), eta);
  }
  const auto near = nearest_name(name, sampler_names());
  throw InvalidArgument(message("sampler ", escaped(name), " is unknown (expected ", one_of(sampler_names()).text(), ")",
                                near ? ". Fix: did you mean " + *near + "?" : ""));
}

}  // namespace sara
