// SPDX-License-Identifier: Apache-2.0
#include "sara/weights/adapter.h"

#include "sara/base/error.h"
#include "sara/files/json.h"
#include "sara/sparse/gaps.h"
#include "sara/weights/precision.h"
#include "sara/weights/rounding.h"
#include "sara/weights/tensor_file.h"

namespace sara {
namespace {

constexpr const char* kFormat = "sara-adapter";
constexpr const char* kVersion = "1";
constexpr int64_t kUnknownSize = int64_t{1} << 48;  // the file does not say how long a tensor is; the model does

// fp32 differences with base + delta == the value, rounded once to the weight's dtype. On fp32 weights the
// difference itself is taken: there is not always an exact one.
torch::Tensor deltas(const Learned& learned) {
  const torch::Tensor base = learned.base.to(torch::kDouble);
  torch::Tensor delta = (learned.values.to(torch::kDouble) - base).to(torch::kFloat);
  const auto dtype = learned.weight.scalar_type();
  if (dtype == torch::kFloat) return delta;
  // fp32 differences are rounded, which moves a sum that lies near the middle of two stored numbers to the wrong one.
  const torch::Tensor stored = rounded_once(learned.values.to(torch::kDouble), dtype).to(torch::kFloat);
  const torch::Tensor towards = (stored.to(torch::kDouble) - base).to(torch::kFloat);
  for (int tries = 0; tries < 4; ++tries) {
    const torch::Tensor wrong = rounded_once(base + delta.to(torch::kDouble), dtype).to(torch::kFloat).ne(stored);
    if (!wrong.any().item<bool>()) return delta;
    delta = torch::where(wrong, delta.nextafter(towards), delta);
  }
  return torch::where(rounded_once(base + delta.to(torch::kDouble), dtype).to(torch::kFloat).ne(stored), towards, delta);
}

AdapterTensor read_adapter_tensor(const SafetensorsReader& reader, const std::string& key, const TensorInfo& gaps) {
  const TensorInfo *delta = reader.find(key + ".delta"), *value = reader.find(key + ".value");
  if (!delta == !value)
    throw BadFile(reader.path(), message(escaped(key), ": ", delta ? "both" : "neither", " of .delta and .value (expected one of them). Fix: save the adapter again"));
  const TensorInfo& data = delta ? *delta : *value;
  if (data.dtype != DType::F32 && data.dtype != DType::BF16 && data.dtype != DType::F16)
    throw BadFile(reader.path(), message(escaped(data.name), ": wrong type (expected F32, BF16 or F16, got ", name(data.dtype), ")"));
  if (gaps.dtype != DType::U8 || gaps.shape.size() != 1 || data.shape.size() != 1)
    throw BadFile(reader.path(), message(escaped(key), ": expected one-dimensional .gaps of U8 and one-dimensional data"));
  const torch::Tensor bytes = read_tensor(reader, gaps);
  torch::Tensor indices = decode_gaps(bytes.const_data_ptr<uint8_t>(), bytes.nbytes(), data.numel(), kUnknownSize, reader.path() + ": " + gaps.name);
  if (indices.numel() == 0 || indices[-1].item<int64_t>() < int64_t{1} << 31) indices = indices.to(torch::kInt);
  AdapterTensor out{indices, read_tensor(reader, data), value != nullptr};
  if (const int64_t bad = out.data.isfinite().logical_not().sum().item<int64_t>())
    throw BadFile(reader.path(), message(escaped(data.name), ": ", bad, " of ", data.numel(), " numbers are NaN or infinite. Fix: use an intact adapter"));
  return out;
}

}  // namespace

torch::Tensor in_dtype(const torch::Tensor& numbers, at::ScalarType dtype, const std::string& key) {
  torch::Tensor out = numbers.to(torch::kCPU, dtype, /*non_blocking=*/false, /*copy=*/true);
  if (!out.isfinite().all().item<bool>())
    throw InvalidArgument(message("adapter_dtype: numbers of ", escaped(key), " leave the range of ", precision_name(dtype),
                                  dtype == torch::kHalf ? ". Fix: use bf16 or fp32" : ". Fix: use smaller scales"));
  return out;
}

int64_t Adapter::count() const {
  int64_t count = 0;
  for (const auto& [key, tensor] : tensors) count += tensor.indices.numel();
  return count;
}

Adapter make_adapter(const std::vector<Learned>& learned, const std::map<std::string, std::string>& base_hashes, bool as_values,
                     at::ScalarType dtype) {
  Adapter out{"adapter", {}, {}};
  Json hashes = Json::object();
  for (const Learned& item : learned) {
    const torch::Tensor data = as_values ? item.values : deltas(item);
    out.tensors[item.name] = {item.indices.to(torch::kCPU, item.indices.scalar_type(), false, /*copy=*/true), in_dtype(data, dtype, item.name), as_values};
    hashes[item.name] = base_hashes.at(item.name);
  }
  out.metadata["base_hash"] = hashes.dump();
  return out;
}

void save_adapter(const std::string& path, const Adapter& adapter) {
  TensorMap tensors;
  for (const auto& [key, tensor] : adapter.tensors) {
    const std::vector<uint8_t> gaps = encode_gaps(tensor.indices);
    tensors[key + ".gaps"] = torch::tensor(gaps, torch::kByte);
    tensors[key + (tensor.is_value ? ".value" : ".delta")] = tensor.data;
  }
  auto metadata = adapter.metadata;
  metadata["format"] = kFormat;
  metadata["version"] = kVersion;
  save_tensors(path, tensors, metadata);
}

Adapter load_adapter(const std::string& path) {
  const SafetensorsReader reader(path);
  const auto entry = [&](const char* key) {
    const auto found = reader.metadata().find(key);
    return found == reader.metadata().end() ? std::string("nothing") : found->second;
  };
  if (entry("format") != kFormat)
    throw BadFile(path, message("not a sara adapter (expected format ", kFormat, ", got ", escaped(entry("format")), "). Fix: give the adapter.safetensors of a training run"));
  if (entry("version") != kVersion)
    throw BadFile(path, message("unknown adapter version (expected ", kVersion, ", got ", escaped(entry("version")), "). Fix: use a newer sara"));
  Adapter out{path, {}, reader.metadata()};
  for (const TensorInfo& info : reader.tensors()) {
    const size_t dot = info.name.rfind('.');
    const std::string key = info.name.substr(0, dot), kind = dot == std::string::npos ? "" : info.name.substr(dot + 1);
    if (kind == "gaps")
      out.tensors[key] = read_adapter_tensor(reader, key, info);
    else if ((kind != "delta" && kind != "value") || !reader.find(key + ".gaps"))
      throw BadFile(path, message(escaped(info.name), ": has no place in an adapter (expected .gaps with .delta or .value). Fix: save the adapter again"));
  }
  return out;
}

std::map<std::string, std::string> base_hashes_of(const Adapter& adapter) {
  const auto found = adapter.metadata.find("base_hash");
  if (found == adapter.metadata.end()) throw BadFile(adapter.source, "no base_hash in the metadata. Fix: save the adapter again");
  const Json json = parse_json(found->second, adapter.source + ": base_hash");
  std::map<std::string, std::string> out;
  for (const auto& [key, hash] : json.items()) {
    if (!json.is_object() || !hash.is_string()) throw BadFile(adapter.source, "base_hash is not an object of texts. Fix: save the adapter again");
    out[key] = hash.get<std::string>();
  }
  return out;
}

}  // namespace sara
