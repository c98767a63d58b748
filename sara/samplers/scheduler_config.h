// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "sara/files/json.h"

namespace sara {

// The content of scheduler/scheduler_config.json in a diffusers folder. A key that the file does not give has the default
// of the file's `_class_name`; the members below show DDPMScheduler's.
struct SchedulerConfig {
  std::string class_name = "DDPMScheduler";

  // The forward process, the same for training and for every sampler.
  int64_t num_train_timesteps = 1000;
  double beta_start = 0.0001, beta_end = 0.02;
  std::string beta_schedule = "linear";  // linear, scaled_linear, squaredcos_cap_v2
  std::optional<std::vector<double>> trained_betas;
  bool rescale_betas_zero_snr = false;
  std::string prediction_type = "epsilon";  // epsilon, v_prediction, sample

  // Which timesteps a sampler visits.
  std::string timestep_spacing = "leading";  // leading, linspace, trailing
  int64_t steps_offset = 0;

  // DDPM and DDIM.
  bool clip_sample = true;
  double clip_sample_range = 1.0;
  bool thresholding = false;
  bool set_alpha_to_one = true;                              // DDIM, PNDM
  bool skip_prk_steps = false;                               // PNDM: no Runge-Kutta steps at the start
  std::optional<std::string> variance_type = "fixed_small";  // DDPM

  // Euler and DPM-Solver.
  bool use_karras_sigmas = false, use_exponential_sigmas = false, use_beta_sigmas = false;
  std::string final_sigmas_type = "zero";      // zero, sigma_min
  std::string interpolation_type = "linear";   // Euler: linear, log_linear
  std::string timestep_type = "discrete";      // Euler
  std::optional<double> sigma_min, sigma_max;  // Euler with Karras sigmas
  int64_t solver_order = 2;                    // the rest: DPM-Solver
  std::string algorithm_type = "dpmsolver++", solver_type = "midpoint";
  bool lower_order_final = true, euler_at_final = false, use_lu_lambdas = false, use_flow_sigmas = false;
  double lambda_min_clipped = -std::numeric_limits<double>::infinity();

  // Flow matching.
  double shift = 1.0;
  bool use_dynamic_shifting = false, invert_sigmas = false, stochastic_sampling = false;
  std::optional<double> shift_terminal;

  // Keys of the file that are not above (_diffusers_version, ...), kept for to_json().
  Json unknown = Json::object();

  // The defaults of one diffusers class. Beside those with a sampler here (registry.h) it knows those with the same forward
  // process, found in many folders: HeunDiscrete, LMSDiscrete, UniPCMultistep,
  // DEISMultistep. Throws InvalidArgument for another name.
  static SchedulerConfig defaults(const std::string& class_name);

  // Throws BadFile{source} for a value of the wrong kind or outside its range, naming the key.
  static SchedulerConfig from_json(const Json& json, const std::string& source = "scheduler_config.json");

  // The keys that were in the file, those changed since, and the unknown ones.
  Json to_json() const;

  // Whether the model was trained to give the velocity between noise and picture, with no betas (SD 3).
  bool is_flow() const { return class_name == "FlowMatchEulerDiscreteScheduler"; }

  // The same settings for another scheduler class, as diffusers' from_config: what the file says stays, and what was changed
  // away from the default of class_name; all else takes the new class's default.
  SchedulerConfig for_class(const std::string& new_class_name) const;

  template <class V>
  void visit(V&& v) {
    v("num_train_timesteps", num_train_timesteps);
    v("beta_start", beta_start);
    v("beta_end", beta_end);
    v("beta_schedule", beta_schedule);
    v("trained_betas", trained_betas);
    v("rescale_betas_zero_snr", rescale_betas_zero_snr);
    v("prediction_type", prediction_type);
    v("timestep_spacing", timestep_spacing);
    v("steps_offset", steps_offset);
    v("clip_sample", clip_sample);
    v("clip_sample_range", clip_sample_range);
    v("thresholding", thresholding);
    v("set_alpha_to_one", set_alpha_to_one);
    v("skip_prk_steps", skip_prk_steps);
    v("variance_type", variance_type);
    v("use_karras_sigmas", use_karras_sigmas);
    v("use_exponential_sigmas", use_exponential_sigmas);
    v("use_beta_sigmas", use_beta_sigmas);
    v("final_sigmas_type", final_sigmas_type);
    v("interpolation_type", interpolation_type);
    v("timestep_type", timestep_type);
    v("sigma_min", sigma_min);
    v("sigma_max", sigma_max);
    v("solver_order", solver_order);
    v("algorithm_type", algorithm_type);
    v("solver_type", solver_type);
    v("lower_order_final", lower_order_final);
    v("euler_at_final", euler_at_final);
    v("use_lu_lambdas", use_lu_lambdas);
    v("use_flow_sigmas", use_flow_sigmas);
    v("lambda_min_clipped", lambda_min_clipped);
    v("shift", shift);
    v("use_dynamic_shifting", use_dynamic_shifting);
    v("invert_sigmas", invert_sigmas);
    v("stochastic_sampling", stochastic_sampling);
    v("shift_terminal", shift_terminal);
  }

 private:
  std::vector<std::string> written_;  // keys the file gave
};

}  // namespace sara
