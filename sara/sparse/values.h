// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "sara/sparse/mask.h"

namespace sara {

// What one tensor has learned: everything in its first mask, whether still active or not.
struct Learned {
  std::string name;
  torch::Tensor weight;   // dense
  torch::Tensor indices;  // [n] sorted
  torch::Tensor values;   // [n] fp32
  torch::Tensor base;     // [n] fp32, the original stored numbers
};

// The selected weights of a whole model, compact: five flat fp32 buffers (values, gradient, the two Adam moments, base)
// of one entry per active weight, bound to the dense tensors they came from. Spans lie in backward order (the last
// registered tensor first), so gradients arrive front to back. `values` is the master copy: the dense weights hold it
// rounded to their own dtype (Sec. 4.4, Eq. 7-8: no optimizer state exists outside the mask).
//
// After reselect_() the survivors are packed to the front of smaller buffers, and the others keep only their learned
// value and base. Nothing at all happens to the dense weights outside the mask; verify_frozen() proves it.
class Values {
 public:
  struct Slot {
    std::string name;
    torch::Tensor weight;   // dense
    torch::Tensor indices;  // [end - begin] sorted, the active positions
    int64_t begin, end;     // span in the flat buffers
  };

  explicit Values(const Mask& mask);

  const std::vector<Slot>& slots() const { return slots_; }  // tensors with something selected
  int64_t active() const { return values_.numel(); }
  int64_t selected() const { return selected_; }  // weights in the first mask
  int64_t below(double threshold) const;          // of the first mask, how many learned values are below it now

  const torch::Tensor& values() const { return values_; }
  const torch::Tensor& gradient() const { return gradient_; }
  const torch::Tensor& exp_avg() const { return exp_avg_; }
  const torch::Tensor& exp_avg_sq() const { return exp_avg_sq_; }
  const torch::Tensor& base() const { return base_; }

  // One tensor's span of one of the buffers above, as a view.
  static torch::Tensor span(const torch::Tensor& buffer, const Slot& slot) { return buffer.narrow(0, slot.begin, slot.end - slot.begin); }

  void gather_gradient_(size_t slot, const torch::Tensor& dense);  // adds
  void clear_gradient_() { gradient_.zero_(); }
  void scatter_() const;  // values -> dense weights

  // active <- { i active : |values_i| < threshold } (Sec. 4.3). Survivors keep value, gradient and moments bit for bit.
  void reselect_(double threshold);

  // Per tensor, active and retired positions merged; in registration order.
  std::vector<Learned> learned() const;

  // Hash (XXH3-128, hex) of each tensor's bytes when this object was made, of every tensor in scope.
  const std::map<std::string, std::string>& base_hashes() const { return base_hashes_; }

  // Throws InternalError naming the first tensor that differs from the base, in any bit, outside the first mask.
  void verify_frozen() const;

 private:
  struct Retired {
    torch::Tensor indices, values, base;  // not sorted across reselections
  };
  std::vector<Slot> slots_;
  std::vector<Retired> retired_;  // one per slot
  NamedTensors scope_;
  std::map<std::string, std::string> base_hashes_;
  torch::Tensor values_, gradient_, exp_avg_, exp_avg_sq_, base_;
  int64_t selected_ = 0;
};

// XXH3-128 of a tensor's bytes in contiguous order, as 32 hex digits.
std::string tensor_hash(const torch::Tensor& tensor);

}  // namespace sara
