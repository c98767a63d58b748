// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/extract.h"

#include <set>

#include "sara/base/error.h"
#include "sara/weights/applied_adapters.h"
#include "sara/weights/precision.h"

namespace sara {
namespace {

torch::Tensor bits(const torch::Tensor& tensor) {
  return tensor.contiguous().view(-1).view(tensor.element_size() == 4 ? torch::kInt : torch::kShort);
}

// Whether base + data, applied as a reader of the file does, is the tuned weight bit for bit.
bool restores(const torch::Tensor& base, const AdapterTensor& tensor, const torch::Tensor& tuned) {
  const torch::Tensor weight = base.clone();
  AppliedAdapters applied({{"x", weight}}, "");
  applied.add({"extracted", {{"x", tensor}}, {}}, 1.0, /*force=*/true);
  return bits(weight).equal(bits(tuned));
}

// Names, shapes and types that do not match, "" when all do. A file may hold fewer tensors than the base, a folder not.
std::string mismatches(const std::map<std::string, WeightFiles::Entry>& base, const TunedWeights& tuned) {
  std::vector<std::string> missing, unknown, shapes, types;
  for (const auto& [key, entry] : tuned.entries()) {
    const auto ours = base.find(key);
    if (ours == base.end()) {
      unknown.push_back(escaped(key));
      continue;
    }
    const TensorInfo &a = *ours->second.info, &b = *entry.info;
    if (a.shape != b.shape) shapes.push_back(message(key, " (expected ", at::IntArrayRef(a.shape), ", got ", at::IntArrayRef(b.shape), ")"));
    if (a.dtype != b.dtype) types.push_back(message(key, " (expected ", name(a.dtype), ", got ", name(b.dtype), ")"));
  }
  if (tuned.is_model())
    for (const auto& [key, entry] : base)
      if (!tuned.entries().count(key)) missing.push_back(key);
  std::string text;
  const auto add = [&](const char* what, const std::vector<std::string>& names) {
    if (!names.empty()) text += message(text.empty() ? "" : "; ", names.size(), " ", what, ": ", first_five(names));
  };
  add("missing", missing);
  add("unknown", unknown);
  add("of another shape", shapes);
  add("of another type", types);
  return text;
}

void require_equal_rest(const ModelFolder& base, const TunedWeights& tuned) {
  if (!tuned.is_model()) return;
  const ModelFolder other(tuned.path());
  for (const char* component : {"text_encoder", "vae"}) {
    if (!base.has(component) || !other.has(component)) continue;  // a single file may hold the denoiser alone
    if (base.component_hash(component) != other.component_hash(component))
      throw BadFile(tuned.path(), message(component, " differs from the base too, and an adapter holds the denoiser alone. Fix: add --force to leave it out"));
  }
}

c10::ScalarType common_dtype(const std::map<std::string, WeightFiles::Entry>& entries, const std::string& path) {
  std::set<DType> types;
  for (const auto& [key, entry] : entries) types.insert(entry.info->dtype);
  if (types.size() == 1 && (types.count(DType::F32) || types.count(DType::BF16) || types.count(DType::F16))) return *torch_dtype(*types.begin());
  std::vector<std::string> names;
  for (const DType type : types) names.emplace_back(name(type));
  throw BadFile(path, message("weights of these types cannot be compared (expected all F32, all BF16 or all F16, got ", first_five(names), "). Fix: save the model in one type"));
}

}  // namespace

AdapterTensor extract_tensor(const torch::Tensor& base, const torch::Tensor& tuned) {
  torch::Tensor indices = bits(base).ne(bits(tuned)).nonzero().view(-1);
  const torch::Tensor from = base.contiguous().view(-1).index_select(0, indices), to = tuned.contiguous().view(-1).index_select(0, indices);
  if (base.numel() <= int64_t{1} << 31) indices = indices.to(torch::kInt);
  if (base.scalar_type() != torch::kFloat) {
    const Learned learned{"x", tuned, indices, to.to(torch::kFloat), from.to(torch::kFloat)};
    const AdapterTensor delta = make_adapter({learned}, {{"x", ""}}).tensors.at("x");
    if (delta.data.isfinite().all().item<bool>() && restores(base, delta, tuned)) return delta;
  }
  return {indices, to, /*is_value=*/true};
}

Adapter extract_adapter(const ModelFolder& base, const TunedWeights& tuned, bool force) {
  const TunedWeights ours(base.path());
  if (const std::string text = mismatches(ours.entries(), tuned); !text.empty())
    throw BadFile(tuned.path(), message("does not match the base: ", text, ". Fix: give the model and the base it was tuned from, saved in the same type"));
  const auto dtype = common_dtype(ours.entries(), ours.path());
  if (!force) require_equal_rest(base, tuned);
  Adapter out{"extracted", {}, {}};
  Json hashes = Json::object();
  int64_t total = 0;
  for (const auto& [key, entry] : ours.entries()) {
    total += entry.info->numel();
    if (!tuned.entries().count(key)) continue;
    const torch::Tensor from = ours.tensor(key);
    AdapterTensor part = extract_tensor(from, tuned.tensor(key));
    if (part.indices.numel() == 0) continue;
    if (!part.data.isfinite().all().item<bool>())
      throw BadFile(tuned.path(), message("tensor ", escaped(key), " holds NaN or infinite weights. Fix: use an intact tuned model"));
    hashes[key] = tensor_hash(from);
    out.tensors[key] = std::move(part);
  }
  const int64_t differing = out.count();
  if (differing == 0) throw InvalidArgument("tuned: the denoiser is that of the base, nothing differs. Fix: give another tuned model");
  if (!force && differing > total / 2)
    throw InvalidArgument(message("tuned: ", differing, " of ", total, " weights differ (expected at most half for a sparse adapter). Fix: use the tuned model itself, or force it"));
  out.metadata["method"] = "extract";
  out.metadata["family"] = base.family();
  out.metadata["base_model"] = base.name();
  out.metadata["precision"] = precision_name(dtype);
  out.metadata["selected"] = std::to_string(differing);
  out.metadata["base_hash"] = hashes.dump();
  return out;
}

}  // namespace sara
