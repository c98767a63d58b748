// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/optim/ema.h"
#include "sara/sparse/values.h"

namespace sara {

// The moving average (optim/ema.h) of every learned value of the first mask, across the reselection: a position that has
// left keeps its learned value, and its average goes on towards it. 4 bytes a selected weight; after a reselection 8, and 8 more for each active one. After
// Values::load_state_(), which replaces the buffers, it needs its own load_state_().
class ValuesEma {
 public:
  // Starts as a copy. `values` is kept by reference. Throws InvalidArgument when decay is not in [0, 1).
  ValuesEma(const Values& values, double decay);

  void update();      // after each optimizer step that was not skipped
  void reselected();  // after Values::reselect_()

  // The averages instead of the learned values; the rest as Values::learned() gives it.
  std::vector<Learned> learned() const;
  void scatter_() const;  // averages -> dense weights, rounded to their dtype
  int64_t updates() const { return ema_.updates(); }

  // [selected] fp32, in the order of the first mask (sparse/values.h).
  const torch::Tensor& averages() const { return ema_.averages()[0]; }
  // Goes on from averages saved after `updates` updates; the values hold their state already.
  void load_state_(const torch::Tensor& averages, int64_t updates);

 private:
  struct Span {
    torch::Tensor weight, indices;  // dense; [end - begin] the first mask
    int64_t begin, end;
  };
  const Values& values_;
  double decay_;
  std::vector<Span> spans_;  // one per slot of values_
  torch::Tensor learned_;    // [selected] every learned value; before a reselection the buffer of values_ itself
  torch::Tensor positions_;  // [active] of the active values in learned_; undefined before a reselection
  Ema ema_;
};

}  // namespace sara
