// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "sara/sparse/compact_gradient.h"
#include "sara/sparse/eight_bit.h"
#include "sara/sparse/mask.h"

namespace sara {

class SampledEntries;

// What one tensor has learned: everything in its first mask, whether still active or not.
struct Learned {
  std::string name;
  torch::Tensor weight;   // dense
  torch::Tensor indices;  // [n] sorted
  torch::Tensor values;   // [n] fp32
  torch::Tensor base;     // [n] fp32, the original stored numbers
};

// What the base does not tell about a Values object: with it, a fresh object over the same base and mask goes on bit for
// bit. "Order of the first mask": slot after slot, sorted indices inside each.
struct ValuesState {
  torch::Tensor values, exp_avg, exp_avg_sq;  // [active] fp32
  torch::Tensor still_active;  // [selected] bool, in the order of the first mask; undefined: all are
  torch::Tensor retired;       // [selected - active] fp32, what the others learned, in that order; undefined: none
  std::vector<std::pair<std::string, int64_t>> tensors;  // the slots: name and number of positions in the first mask
  std::string mask_hash;  // XXH3-128 of these positions
  torch::Tensor exp_avg_scale = {}, exp_avg_sq_scale = {};  // [blocks] fp32, and the moments are codes (sparse/eight_bit.h); undefined: fp32 moments
};

// Bytes held for the selected weights of a model, without what backward passes find out about the positions (Slot::entries).
struct HeldBytes {
  int64_t index = 0;  // positions
  int64_t state = 0;  // values, gradient and both moments; learned values of retired positions
  int64_t base = 0;   // original numbers, in the weight's own dtype
};

// The selected weights of a whole model, compact: flat fp32 buffers (values, the two Adam moments) of one entry per
// active weight, the gradient (sparse/compact_gradient.h), and the base in each weight's own dtype, bound to the dense tensors they came from. Spans lie
// in backward order (the last registered tensor first), so gradients arrive front to back; a parameter group is one span.
// `values` is the master copy: the dense weights hold it rounded to their own dtype (Sec. 4.4, Eq. 7-8: no optimizer state
// exists outside the mask). With 8-bit moments (sparse/eight_bit.h) the two moment buffers hold codes, and each tensor's span has its own
// blocks and scales: 2.03 bytes a weight instead of 8.
//
// After reselect_() the survivors are packed to the front of smaller buffers, and the others keep only their learned
// value and base; 8-bit moments of the survivors are rounded anew, to the nearest, in their new blocks. Nothing at all happens to the dense weights outside the mask; verify_frozen() proves it.
class Values {
 public:
  struct Slot {
    std::string name;
    torch::Tensor weight;   // dense
    torch::Tensor indices;  // [end - begin] sorted, the active positions
    int64_t begin, end;     // span in the flat buffers
    size_t group = 0;
    torch::Tensor base = {};  // [end - begin] in the weight's dtype
    // int64 [out + 1], on the CPU: the active positions of output channel r are indices[row_starts[r] .. row_starts[r + 1]).
    // Undefined for tensors of one dimension and for those on other devices.
    torch::Tensor row_starts = {};
    int64_t first_block = 0;  // of its 8-bit moments
    // Storage offsets of the active positions in a tensor with the strides `laid_out`, those of the weight when its positions were last looked up. Undefined for
    // weights that lie in order and for those on the CPU, whose steps find them as they go.
    torch::Tensor offsets = {};
    std::vector<int64_t> laid_out = {};
    torch::Tensor offsets_in(const torch::Tensor& dense) const { return offsets.defined() && dense.strides() == laid_out ? offsets : torch::Tensor(); }
    // Where blocks of columns begin in each row, as the last backward pass that cut otherwise found it (ops/sampled_entries.h); none after the mask has changed.
    mutable std::shared_ptr<const SampledEntries> entries = {};
  };

  explicit Values(const Mask& mask, size_t groups = 1, bool eight_bit_moments = false);

  const std::vector<Slot>& slots() const { return slots_; }  // tensors with something selected
  int64_t active() const { return values_.numel(); }
  int64_t selected() const { return selected_; }  // weights in the first mask
  int64_t below(double threshold) const;          // of the first mask, how many learned values are below it now

  const torch::Tensor& values() const;
  // Put together from the spans when it is asked for (sparse/compact_gradient.h).
  const torch::Tensor& gradient() const { return gradient_.whole(); }
  torch::Tensor gradient_of(size_t slot) const { return gradient_.span(slot); }
  const torch::Tensor& exp_avg() const { return exp_avg_; }        // 8-bit: codes, int8
  const torch::Tensor& exp_avg_sq() const { return exp_avg_sq_; }  // 8-bit: codes, uint8
  const torch::Tensor& exp_avg_scale() const { return exp_avg_scale_; }  // [blocks] fp32; undefined with fp32 moments
  const torch::Tensor& exp_avg_sq_scale() const { return exp_avg_sq_scale_; }
  bool eight_bit_moments() const { return exp_avg_scale_.defined(); }
  // One tensor's 8-bit moments: codes and scales as views.
  EightBit first_moment(const Slot& slot) const { return {span(exp_avg_, slot), block_span(exp_avg_scale_, slot)}; }
  EightBit second_moment(const Slot& slot) const { return {span(exp_avg_sq_, slot), block_span(exp_avg_sq_scale_, slot)}; }
  torch::Tensor base() const;  // [active] fp32, put together anew

  // One tensor's span of one of the buffers above, as a view.
  static torch::Tensor span(const torch::Tensor& buffer, const Slot& slot) { return buffer.narrow(0, slot.begin, slot.end - slot.begin); }

  // One tensor's values, [end - begin] fp32.
  torch::Tensor values_of(const Slot& slot) const;
  // fp32 weights on the CPU hold their values themselves, bit for bit. There this gives the memory of the buffer back, until
  // values() or parameters() asks for it; what shares that buffer reads zeros. Elsewhere it does nothing.
  void drop_values_();
  bool values_dropped() const { return values_dropped_; }

  // One leaf a group, for what expects parameters with gradients (clip_grad_norm_, a GradScaler): it shares the memory of
  // the group's values, its grad() that of their gradient. The same tensors for the object's life; reselect_() shortens
  // them. From the first call on the gradient is one buffer. A grad() that was taken away means zero, one that was replaced is taken over.
  const std::vector<torch::Tensor>& parameters() const;
  std::pair<int64_t, int64_t> group_span(size_t group) const { return group_spans_.at(group); }  // begin, end
  std::pair<int64_t, int64_t> group_block_span(size_t group) const;  // the same of the scales of 8-bit moments
  void adopt_gradients_();

  void gather_gradient_(size_t slot, const torch::Tensor& dense);  // adds
  torch::Tensor open_gradient_(size_t slot);                        // the slot's span of the gradient, to add to
  // From now on `then` runs at the end of every backward pass that brought a gradient; empty: nothing does.
  void after_backward(std::function<void()> then);
  void clear_gradient_();  // and gives its memory back until the next backward pass
  void scatter_() const;  // values -> dense weights

  // active <- { i active : |values_i| < threshold } (Sec. 4.3). Survivors keep value, gradient and moments bit for bit.
  void reselect_(double threshold);

  // Per tensor, active and retired positions merged; in registration order. Values may share the buffers until the next step.
  std::vector<Learned> learned() const;

  // The buffers are shared, not copied. load_state_() writes the dense weights too and clears the gradient; it throws
  // InvalidArgument, with nothing changed, for wrong sizes and types.
  ValuesState state() const;
  void load_state_(const ValuesState& state);

  // Hash (XXH3-128, hex) of each tensor's bytes when this object was made, of every tensor in scope.
  const std::map<std::string, std::string>& base_hashes() const { return base_hashes_; }

  // XXH3-128, hex, of the active positions and their values.
  std::string fingerprint() const;

  HeldBytes held_bytes() const;

  // Throws InvalidArgument naming the first weight whose device, dtype or size is no longer that of its values.
  void require_in_place() const;

  // Throws InternalError naming the first tensor that differs from the base, in any bit, outside the first mask.
  void verify_frozen() const;

 private:
  struct Retired {
    torch::Tensor indices, values, base;  // not sorted across reselections; base in the weight's dtype
  };
  static torch::Tensor block_span(const torch::Tensor& scales, const Slot& slot) { return scales.narrow(0, slot.first_block, moment_blocks(slot.end - slot.begin)); }
  void require_in_place(const Slot& slot) const;
  void adopt_gradient_(size_t group);
  void bind_parameters_();  // to the buffers as they are now
  void bind_gradients_() const;
  CompactGradient::Spans spans() const;
  void find_rows_();        // row_starts of every slot, whose entries are forgotten
  std::vector<std::pair<std::string, int64_t>> mask_counts() const;  // of the first mask, a slot each

  std::vector<Slot> slots_;
  std::vector<Retired> retired_;  // one per slot
  std::vector<torch::Tensor> parameters_;  // one per group
  std::vector<std::pair<int64_t, int64_t>> group_spans_;
  NamedTensors scope_;
  std::map<std::string, std::string> base_hashes_;
  mutable bool values_dropped_ = false;
  mutable CompactGradient gradient_;
  torch::Tensor values_, exp_avg_, exp_avg_sq_;
  torch::Tensor exp_avg_scale_, exp_avg_sq_scale_;  // of 8-bit moments
  int64_t selected_ = 0;
  std::string mask_hash_;  // of all positions of the first mask
  struct AfterBackward {
    std::function<void()> then;
    bool queued = false;  // in the pass that runs
  };
  std::shared_ptr<AfterBackward> after_backward_ = std::make_shared<AfterBackward>();
};

// XXH3-128 of a tensor's bytes in contiguous order, as 32 hex digits.
std::string tensor_hash(const torch::Tensor& tensor);

}  // namespace sara
