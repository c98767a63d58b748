// SPDX-License-Identifier: Apache-2.0
#include "sara/distributed/process_group.h"

#include <c10/util/Exception.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#include <torch/utils.h>

#include <utility>
#include <vector>

#include "sara/base/error.h"
#include "sara/base/hash.h"
#include "sara/distributed/gloo_backend.h"
#include "sara/files/json.h"

namespace sara {
namespace {

constexpr std::chrono::hours kForever{24 * 365};

std::string first_line_of(const std::string& text) { return escaped(text.substr(0, text.find('\n'))); }

// Runs one exchange; what c10d and Gloo throw becomes one line.
template <class F>
void exchange(const Processes& me, const char* what, F&& run) {
  const auto lost = [&](const std::string& reason) {
    return Error(message("processes: rank ", me.rank, " of ", me.count, " lost the others (", what, "): ", reason,
                         ". Fix: look for the first error among the other ranks; start all of them again, with --resume after a checkpoint"),
                 4);
  };
  try {
    run();
  } catch (const Error&) {
    throw;
  } catch (const c10::Error& error) {
    throw lost(first_line_of(error.what_without_backtrace()));
  } catch (const std::exception& error) {
    const std::string text = error.what();
    const bool closed = text.find("Connection closed by peer") != std::string::npos || text.find("Connection reset by peer") != std::string::npos;
    throw lost(closed ? "a rank has ended" : first_line_of(text));
  }
}

}  // namespace

struct ProcessGroup::Link {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;

  void all_reduce(torch::Tensor tensor, c10d::ReduceOp::RedOpType operation) {
    std::vector<torch::Tensor> tensors{std::move(tensor)};
    c10d::AllreduceOptions options;
    options.reduceOp = operation;
    backend->allreduce(tensors, options)->wait();
  }
  void broadcast(torch::Tensor tensor) {
    std::vector<torch::Tensor> tensors{std::move(tensor)};
    c10d::BroadcastOptions options;
    options.timeout = kForever;
    backend->broadcast(tensors, options)->wait();
  }
};

ProcessGroup::ProcessGroup(const Processes& processes, std::chrono::seconds timeout) : processes_(processes) {
  if (size() == 1) return;
  exchange(processes_, "meeting them", [&] {
    c10d::TCPStoreOptions options;
    options.port = static_cast<uint16_t>(processes_.port);
    options.isServer = is_first() && !processes_.launcher_listens;
    options.numWorkers = static_cast<size_t>(size());
    options.multiTenant = options.isServer;
    options.timeout = timeout;
    link_ = std::make_unique<Link>();
    link_->store = c10::make_intrusive<c10d::TCPStore>(processes_.address, options);
    link_->backend = gloo_backend(link_->store, static_cast<int>(rank()), static_cast<int>(size()), timeout);
  });
}

ProcessGroup::~ProcessGroup() = default;

void ProcessGroup::sum_(torch::Tensor& tensor, const char* what) {
  if (!link_) return;
  SARA_CHECK(tensor.is_contiguous());
  const torch::NoGradGuard no_grad;
  exchange(processes_, what, [&] {
    const torch::Tensor host = tensor.cpu();
    link_->all_reduce(host, c10d::ReduceOp::SUM);
    if (!host.is_same(tensor)) tensor.copy_(host);
  });
}

int64_t ProcessGroup::largest(int64_t number, const char* what) {
  if (!link_) return number;
  const torch::Tensor box = torch::tensor({number}, torch::kLong);
  exchange(processes_, what, [&] { link_->all_reduce(box, c10d::ReduceOp::MAX); });
  return box.item<int64_t>();
}

torch::Tensor ProcessGroup::shared(const torch::Tensor& tensor, const char* what) {
  if (!link_) return tensor;
  Json header;
  if (is_first() && tensor.defined()) header = {{"shape", tensor.sizes().vec()}, {"dtype", static_cast<int>(tensor.scalar_type())}};
  header = Json::parse(shared(header.dump(), what));
  if (header.is_null()) return {};
  const auto shape = header["shape"].get<std::vector<int64_t>>();
  torch::Tensor out = is_first() ? tensor.contiguous() : torch::empty(shape, static_cast<c10::ScalarType>(header["dtype"].get<int>()));
  if (out.numel() == 0) return out;
  exchange(processes_, what, [&] { link_->broadcast(out.view({-1}).view(torch::kByte)); });
  return out;
}

std::string ProcessGroup::shared(const std::string& text, const char* what) {
  if (!link_) return text;
  const torch::Tensor length = torch::tensor({static_cast<int64_t>(text.size())}, torch::kLong);
  std::string out = text;
  exchange(processes_, what, [&] {
    link_->broadcast(length);
    out.resize(static_cast<size_t>(length.item<int64_t>()));
    if (!out.empty()) link_->broadcast(torch::from_blob(out.data(), {static_cast<int64_t>(out.size())}, torch::kByte));
  });
  return out;
}

void ProcessGroup::require_same(const std::string& text, const std::string& what, const std::string& advice) {
  if (!link_) return;
  // A text of its own for each rank's hash: two halves of 64 bits in one row of a table that is zero elsewhere.
  torch::Tensor table = torch::zeros({size(), 2}, torch::kLong);
  table[rank()][0] = static_cast<int64_t>(hash64(text));
  table[rank()][1] = static_cast<int64_t>(hash64(text, 1));
  sum_(table, what.c_str());
  for (int64_t other = 1; other < size(); ++other)
    if (!table[other].equal(table[0])) throw InvalidArgument(message("rank ", other, ": ", what, " differs from rank 0. Fix: ", advice));
}

}  // namespace sara
