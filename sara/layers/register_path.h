// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <string>

namespace sara {

// Registers `child` in `parent` under a dotted path such as "net.0.proj" or "to_out.0", making plain containers for
// the parts before the last. Parameter names then equal those of the published checkpoints, also where these come
// from numbered lists with unregistered members between.
//
// Throws c10::Error when the name is taken.
void register_path(torch::nn::Module& parent, const std::string& path, const std::shared_ptr<torch::nn::Module>& child);

// Makes a module of type M with the given arguments, registers it under `path` and returns it.
template <class M, class... Args>
std::shared_ptr<M> make_at(torch::nn::Module& parent, const std::string& path, Args&&... args) {
  auto child = std::make_shared<M>(std::forward<Args>(args)...);
  register_path(parent, path, child);
  return child;
}

}  // namespace sara
