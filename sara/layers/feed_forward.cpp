// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/feed_forward.h"

#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

FeedForward::FeedForward(int64_t channels, const torch::TensorOptions& options) {
  const int64_t inner = 4 * channels;
  in_ = make_at<Linear>(*this, "net.0.proj", channels, 2 * inner, true, options);
  out_ = make_at<Linear>(*this, "net.2", inner, channels, true, options);
}

FeedForwardParameters FeedForward::parameters() const {
  FeedForwardParameters parameters;
  parameters.in_weight = in_->weight;
  parameters.in_bias = in_->bias;
  parameters.out_weight = out_->weight;
  parameters.out_bias = out_->bias;
  return parameters;
}

}  // namespace sara
