// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/files/json.h"
#include "sara/weights/key_map.h"

namespace sara {

// The key maps of single files ("LDM" layout), one table a network. Nothing but these tables knows the other names.
const KeyTable& unet_keys();         // UNet2DConditionModel of SD 1.x, 2.x and XL
const KeyTable& vae_keys();          // AutoencoderKL
const KeyTable& open_clip_keys();    // CLIPTextModel(WithProjection) under OpenCLIP's names, q, k and v in one tensor
const KeyTable& same_keys();         // names are equal
const KeyTable& mmdit_keys();        // SD3Transformer2DModel, q, k and v in one tensor
const KeyTable& motion_keys();       // MotionAdapter

// The table of a network with this config (config.json), expanded. Throws InvalidArgument when the config has no such sizes.
KeyMap key_map(const KeyTable& table, const Json& config);

}  // namespace sara
