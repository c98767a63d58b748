// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include <chrono>
#include <memory>
#include <string>

#include "sara/distributed/processes.h"

namespace sara {

// The processes of one run, connected. Every rank calls the same functions in the same order; each call waits for all ranks. Tensors
// are contiguous and of the same size everywhere; those on a GPU travel through host memory. A sum has the same bits on every rank.
// A group of one process sends nothing.
//
// A rank that ends closes its connections, so the others' next call throws at once; one that hangs or is cut off is given up after
// `timeout`. Either is an Error with exit code 4 that names this rank and what it waited for.
class ProcessGroup {
 public:
  // Waits until all ranks are there. Throws Error (4) when they do not come in time or the address cannot be reached.
  ProcessGroup(const Processes& processes, std::chrono::seconds timeout);
  ~ProcessGroup();
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  int64_t rank() const { return processes_.rank; }
  int64_t size() const { return processes_.count; }
  bool is_first() const { return rank() == 0; }  // the rank that writes files

  void sum_(torch::Tensor& tensor, const char* what);  // fp32, fp64 or int64
  int64_t largest(int64_t number, const char* what);
  void wait_for_all(const char* what) { largest(0, what); }

  // Rank 0's, on every rank. Waits as long as rank 0 needs: it may be encoding pictures for hours.
  torch::Tensor shared(const torch::Tensor& tensor, const char* what);  // any dtype, on the CPU; undefined stays undefined
  std::string shared(const std::string& text, const char* what);

  // Throws InvalidArgument, on every rank, naming the first rank whose text is not rank 0's: "rank 1: <what> differs from rank 0. Fix: <advice>".
  void require_same(const std::string& text, const std::string& what, const std::string& advice);

 private:
  struct Link;
  Processes processes_;
  std::unique_ptr<Link> link_;  // null: one process
};

}  // namespace sara
