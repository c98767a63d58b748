// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace sara {

// What a block keeps of its forward pass for its backward pass, from most to least. Gradients are the same at every level;
// the lower ones pay with time.
enum class MemoryLevel {
  n0,          // what only a large matrix product could make again
  n1,          // without the feed-forward's inner activations (8 channels' worth a token): one product again
  n2,          // also without queries, keys and values: three more
  checkpoint,  // the input of each resnet and transformer alone: the whole block again
};

}  // namespace sara
