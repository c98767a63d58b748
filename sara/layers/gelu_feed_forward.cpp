// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/gelu_feed_forward.h"

#include "sara/layers/activation.h"
#include "sara/layers/register_path.h"

#include <torch/types.h>

namespace sara {

GeluFeedForward::GeluFeedForward(int64_t channels, const torch::TensorOptions& options) {
  in_ = make_at<Linear>(*this, "net.0.proj", channels, 4 * channels, true, options);
  out_ = make_at<Linear>(*this, "net.2", 4 * channels, channels, true, options);
}

torch::Tensor GeluFeedForward::forward(const torch::Tensor& x) const {
  return out_->forward(activate(in_->forward(x), Activation::gelu_tanh));
}

}  // namespace sara
