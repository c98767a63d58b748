// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "sara/weights/adapter.h"

namespace sara {

// Adapters on a model: P = P0 + sum_k scale_k dP_k (App. F, G; Eq. 10, 11), each weight computed in fp64 from the kept
// base and rounded once to its own dtype. Masks may differ and overlap; scales are any real numbers. Where the sum of
// the differences is 0 the base bits stand, and a weight that an adapter holds as value and no other touches is at scale 1 that value, so scale 0 and remove() give the base back bit for bit: never by
// subtraction, but from base values kept at the union of the masks.
class AppliedAdapters {
 public:
  // model: the tensors by the adapters' keys, in their base state. family: of the model, compared with the adapters'.
  AppliedAdapters(const NamedTensors& model, std::string family);

  // Adds an adapter and returns its number. Throws, with the model untouched: InvalidArgument for a scale that is not
  // finite or makes a weight overflow; BadFile for keys the model lacks or indices past a tensor's end, and, unless
  // forced, for another family or other base bits (as the model holds them, and converted to the type of the training).
  size_t add(Adapter adapter, double scale, bool force = false);
  void set_scale(size_t number, double scale);
  void remove();  // all of them

 private:
  struct Scaled {
    Adapter adapter;
    double scale;
  };
  struct Touched {
    torch::Tensor indices, base;  // sorted union of the masks; fp32 copies of the base there; CPU
    std::string base_hash;
  };
  using TouchedMap = std::map<std::string, Touched>;

  void check(const Adapter& adapter, bool force) const;
  std::string base_hash(const std::string& key, at::ScalarType dtype) const;  // of the base's bytes, converted to dtype
  static void restore_values_(const torch::Tensor& result, const std::string& key, const torch::Tensor& indices, const std::vector<Scaled>& adapters);
  void write(std::vector<Scaled> adapters, TouchedMap touched);

  std::map<std::string, torch::Tensor> model_;
  std::string family_;
  std::vector<Scaled> adapters_;
  TouchedMap touched_;
};

}  // namespace sara
