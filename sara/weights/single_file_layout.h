// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "sara/files/safetensors.h"
#include "sara/weights/key_maps.h"

namespace sara {

// A component of a pipeline and its place in a single file.
struct SingleFilePart {
  const char *component, *library, *class_name;
  const char* prefix;  // in front of the names of `keys`
  const KeyTable& keys;
};

// How one family lies in a single file.
struct SingleFileLayout {
  const char *family, *pipeline;  // "sd1", "StableDiffusionPipeline"; no pipeline: one component alone
  const char* architecture;       // modelspec.architecture
  std::vector<SingleFilePart> parts;

  const SingleFilePart* part(const std::string& component) const;  // nullptr: the family has no such part
};

const std::vector<SingleFileLayout>& single_file_layouts();
// Throws InvalidArgument for a family without a single-file layout.
const SingleFileLayout& single_file_layout(const std::string& family);

// The layout of a file, by keys and shapes, never by its name. Throws BadFile naming what it seems to be (inpainting, a refiner, ...) or,
// when nothing fits, its first keys.
const SingleFileLayout& detected_layout(const SafetensorsReader& file);

// Whether a file holds a model under single-file names at all: an adapter and a component's weights do not.
bool is_single_file(const SafetensorsReader& file);

// The prefix that this file gives a part: some leave out `model.diffusion_model.` or write `vae.` for `first_stage_model.`.
// nullptr: the file holds no such part.
const char* prefix_in(const SafetensorsReader& file, const SingleFilePart& part);

// Names that say nothing of the model: averages (model_ema.), tables of the noise schedule, counters.
bool is_ignored(const std::string& name);

}  // namespace sara
