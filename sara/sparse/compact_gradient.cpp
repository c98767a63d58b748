// SPDX-License-Identifier: Apache-2.0
#include "sara/sparse/compact_gradient.h"

#include "sara/base/error.h"
#include "sara/sparse/zero_pages.h"

namespace sara {

void CompactGradient::reset(Spans spans, torch::Device device) {
  spans_ = std::move(spans);
  device_ = device;
  kept_whole_ = kept_whole_ || !device.is_cpu();
  parts_.assign(spans_.size(), {});
  whole_ = torch::Tensor();
  if (kept_whole_) whole();
}

torch::Tensor CompactGradient::span(size_t slot) {
  const auto [begin, end] = spans_[slot];
  if (whole_.defined()) return whole_.narrow(0, begin, end - begin);
  if (!parts_[slot].defined()) parts_[slot] = torch::zeros({end - begin}, options());
  return parts_[slot];
}

const torch::Tensor& CompactGradient::whole() {
  if (whole_.defined()) return whole_;
  torch::Tensor all = torch::empty({size()}, options());
  zero_and_release_(all);
  for (size_t slot = 0; slot < spans_.size(); ++slot) {
    if (!parts_[slot].defined()) continue;
    all.narrow(0, spans_[slot].first, parts_[slot].numel()).copy_(parts_[slot]);
    parts_[slot] = torch::Tensor();
  }
  whole_ = std::move(all);
  return whole_;
}

const torch::Tensor& CompactGradient::keep_whole() {
  kept_whole_ = true;
  return whole();
}

void CompactGradient::clear_() {
  parts_.assign(spans_.size(), {});
  if (kept_whole_)
    zero_and_release_(whole_);
  else
    whole_ = torch::Tensor();
}

void CompactGradient::keep_entries_(size_t slot, const torch::Tensor& stay) {
  SARA_CHECK(kept_.size() == slot);
  const int64_t begin = kept_.empty() ? 0 : kept_.back().second;
  if (whole_.defined())
    whole_.narrow(0, begin, stay.numel()).copy_(span(slot).index_select(0, stay));
  else if (parts_[slot].defined())
    parts_[slot] = parts_[slot].index_select(0, stay);
  kept_.emplace_back(begin, begin + stay.numel());
}

void CompactGradient::finish_keeping_() {
  SARA_CHECK(kept_.size() == spans_.size());
  spans_ = std::exchange(kept_, {});
  if (whole_.defined()) whole_ = cut_(whole_, size());
}

}  // namespace sara
