// SPDX-License-Identifier: Apache-2.0
#pragma once
#include "sara/models/clip_text_config.h"
#include "sara/models/mmdit_config.h"
#include "sara/models/unet_config.h"
#include "sara/models/vae_config.h"

namespace sara {

// The configurations of the published models. Parameter counts in brackets.
UNetConfig sd15();             // UNet of SD 1.4 and 1.5 [859,520,964]
UNetConfig sd20();             // UNet of SD 2.0 and 2.1 base [865,910,724]
UNetConfig sdxl();             // UNet of SDXL [2,567,463,684]
UNetConfig animatediff_v2();   // UNet of SD 1.5 with AnimateDiff's motion modules v2 [1,312,730,244]
MmditConfig sd3_medium();      // transformer of SD 3.0 medium [2,028,328,000]
MmditConfig sd35_medium();     // of SD 3.5 medium [2,243,171,520]
MmditConfig sd35_large();      // of SD 3.5 large [8,056,627,520]
VaeConfig sd_vae();            // autoencoder of SD 1.x and 2.x [83,653,863]
ClipTextConfig clip_l();       // text encoder of SD 1.x [123,060,480]
VaeConfig sd3_vae();           // autoencoder of SD 3: 16 channels, shift, no quant convolutions [83,819,683]
ClipTextConfig open_clip_g();  // second text encoder of SDXL and SD 3: OpenCLIP bigG with projection [694,659,840]
ClipTextConfig open_clip_h();  // text encoder of SD 2.x: 23 of OpenCLIP H's 24 layers [340,387,840]

}  // namespace sara
