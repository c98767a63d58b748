// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "sara/base/options.h"
#include "sara/models/denoiser.h"
#include "sara/weights/adapter_sum.h"
#include "sara/weights/model_folder.h"

namespace sara::cli {

// Which adapters a verb uses; the same two flags everywhere.
struct AdapterOptions {
  std::vector<std::string> adapter;
  bool force = false;

  template <class V>
  void visit(V&& v) {
    v("adapter", adapter, "Adapter FILE[:SCALE], scale 1 unless given; repeat for several");
    v("force", force, "Use an adapter although it was made for another base");
  }
};

// The whole text as a finite number, or nothing.
std::optional<double> finite_number(const std::string& text);

// "style.safetensors:0.8" -> ("style.safetensors", 0.8). A name that is a file as it stands is taken whole.
// Throws InvalidArgument when the scale is not a finite number.
std::pair<std::string, double> adapter_and_scale(const std::string& text);

// Reads them all. Throws BadFile, IoError.
std::vector<ScaledAdapter> load_adapters(const AdapterOptions& options);

// The denoiser with the adapters applied, then converted to `dtype`. Adapters that were trained in one precision are applied
// to the base in that precision, so that scale 1 gives back the very weights the training ended with.
std::shared_ptr<Denoiser> load_adapted_denoiser(const ModelFolder& model, const std::vector<ScaledAdapter>& adapters, bool force,
                                                        c10::ScalarType dtype, c10::Device device);

}  // namespace sara::cli
