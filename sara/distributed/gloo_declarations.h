// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

// The names of Gloo that torch's ProcessGroupGloo.hpp mentions. Gloo is compiled into libtorch, its headers are not in the wheel, and
// those of a distribution are of another version. None is needed: the process group holds Gloo's objects behind pointers, and
// all code that touches them is in libtorch. So nothing here is ever instantiated, and no symbol of namespace gloo is linked
// (tests/structure checks it).
namespace gloo {

class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};

namespace transport {
class Device;
class UnboundBuffer;
}  // namespace transport

namespace rendezvous {
class Store {
 public:
  virtual ~Store();
  virtual void set(const std::string& key, const std::vector<char>& value) = 0;
  virtual std::vector<char> get(const std::string& key) = 0;
  virtual void wait(const std::vector<std::string>& keys) = 0;
  virtual void wait(const std::vector<std::string>& keys, const std::chrono::milliseconds& timeout);
};
}  // namespace rendezvous

}  // namespace gloo
