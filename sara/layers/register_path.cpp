// SPDX-License-Identifier: Apache-2.0
#include "sara/layers/register_path.h"

#include <torch/nn/module.h>

namespace sara {
namespace {

// A level of a path that is only a name.
class Container : public torch::nn::Module {};

}  // namespace

void register_path(torch::nn::Module& parent, const std::string& path,
                   const std::shared_ptr<torch::nn::Module>& child) {
  const size_t dot = path.find('.');
  if (dot == std::string::npos) {
    parent.register_module(path, child);
    return;
  }
  const std::string head = path.substr(0, dot);
  auto children = parent.named_children();
  auto* existing = children.find(head);
  auto container = existing ? *existing : parent.register_module(head, std::make_shared<Container>());
  register_path(*container, path.substr(dot + 1), child);
}

}  // namespace sara
