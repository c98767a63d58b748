// SPDX-License-Identifier: Apache-2.0
#include "sara/optim/values_ema.h"

#include <ATen/ops/searchsorted.h>
#include <torch/utils.h>

#include "sara/base/error.h"
#include "sara/sparse/gather_scatter.h"

namespace sara {

ValuesEma::ValuesEma(const Values& values, double decay) : values_(values), decay_(decay), learned_(values.values()), ema_({learned_}, decay) {
  for (const Values::Slot& slot : values.slots()) spans_.push_back({slot.weight, slot.indices, slot.begin, slot.end});
}

void ValuesEma::update() {
  const torch::NoGradGuard no_grad;
  if (positions_.defined()) learned_.index_copy_(0, positions_, values_.values());
  ema_.update();
}

void ValuesEma::reselected() {
  const torch::NoGradGuard no_grad;
  if (learned_.is_alias_of(values_.values())) learned_.set_data(torch::empty({values_.selected()}, learned_.options()));  // that buffer holds survivors alone now
  std::map<std::string, torch::Tensor> learned;
  for (Learned& item : values_.learned()) learned.emplace(item.name, std::move(item.values));
  std::vector<torch::Tensor> positions;
  for (size_t i = 0; i < spans_.size(); ++i) {
    const Span& span = spans_[i];
    const Values::Slot& slot = values_.slots()[i];
    learned_.narrow(0, span.begin, span.end - span.begin).copy_(learned.at(slot.name));
    positions.push_back(at::searchsorted(span.indices, slot.indices) + span.begin);
  }
  positions_ = torch::cat(positions);
}

std::vector<Learned> ValuesEma::learned() const {
  auto out = values_.learned();  // in registration order, which is that of the spans backwards
  for (size_t i = 0; i < out.size(); ++i) {
    const Span& span = spans_[spans_.size() - 1 - i];
    out[i].values = ema_.averages()[0].narrow(0, span.begin, span.end - span.begin);
  }
  return out;
}

void ValuesEma::load_state_(const torch::Tensor& averages, int64_t updates) {
  SARA_CHECK(averages.sizes() == at::IntArrayRef({values_.selected()}) && averages.scalar_type() == torch::kFloat && updates >= 0);
  positions_.reset();
  const bool all_active = values_.active() == values_.selected();
  learned_ = all_active ? values_.values() : torch::empty({values_.selected()}, values_.values().options());
  if (!all_active) reselected();
  ema_ = Ema({learned_}, decay_);
  ema_.restore({averages}, updates);
}

void ValuesEma::scatter_() const {
  const torch::NoGradGuard no_grad;
  for (const Span& span : spans_) sara::scatter_(span.weight, span.indices, ema_.averages()[0].narrow(0, span.begin, span.end - span.begin));
}

}  // namespace sara
