// SPDX-License-Identifier: Apache-2.0
#include "sara/files/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

#include "sara/base/error.h"
#include "sara/files/json_walk.h"

namespace sara {
namespace {

constexpr uint64_t kMostElements = uint64_t{1} << 48;

// Reads {"__metadata__": {"k": "v"}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}.
// place_ says which of the nested containers the next token belongs to; tokens below an unknown field are skipped.
class HeaderEvents : public JsonEvents {
 public:
  HeaderEvents(const std::string& source, uint64_t start) : source_(source), start_(start) {}

  SafetensorsHeader header;

  void begin_object() override {
    if (skipped()) {
      ++depth_;
    } else if (place_ == Place::outside) {
      place_ = Place::root;
    } else if (place_ == Place::root) {
      place_ = name_ == "__metadata__" ? Place::metadata : Place::tensor;
      tensor_ = {};
      has_dtype_ = has_shape_ = has_offsets_ = false;
    } else {
      unexpected("an object");
    }
  }
  void end_object() override {
    if (depth_ > 0) {
      --depth_;
    } else if (place_ == Place::tensor) {
      finish_tensor();
      place_ = Place::root;
    } else if (place_ == Place::metadata) {
      place_ = Place::root;
    } else {
      place_ = Place::outside;
    }
  }
  void begin_array() override {
    if (skipped()) {
      ++depth_;
    } else if (place_ == Place::tensor && field_ == Field::shape) {
      place_ = Place::shape;
    } else if (place_ == Place::tensor && field_ == Field::offsets) {
      place_ = Place::offsets;
      offset_count_ = 0;
    } else {
      unexpected("an array");
    }
  }
  void end_array() override {
    if (depth_ > 0) {
      --depth_;
      return;
    }
    if (place_ == Place::offsets && offset_count_ != 2)
      fail(message("tensor \"", escaped(name_), "\": data_offsets (expected 2 numbers, got ", offset_count_, ")"));
    (place_ == Place::offsets ? has_offsets_ : has_shape_) = true;
    place_ = Place::tensor;
  }
  void key(std::string& name) override {
    if (depth_ > 0) return;
    if (place_ == Place::root) {
      name_ = std::move(name);
      if (const auto defect = name_defect(name_)) fail(message("tensor name \"", escaped(name_), "\" ", *defect));
    } else if (place_ == Place::metadata) {
      metadata_key_ = std::move(name);
    } else {
      field_ = name == "dtype"          ? Field::dtype
               : name == "shape"        ? Field::shape
               : name == "data_offsets" ? Field::offsets
                                        : Field::unknown;
    }
  }
  void text(std::string& value) override {
    if (skipped()) return;
    if (place_ == Place::metadata) {
      header.metadata.emplace(std::move(metadata_key_), std::move(value));
    } else if (place_ == Place::tensor && field_ == Field::dtype) {
      const std::optional<DType> dtype = dtype_named(value);
      if (!dtype) fail(message("tensor \"", escaped(name_), "\": unknown dtype \"", escaped(value.substr(0, 40)), "\""));
      tensor_.dtype = *dtype;
      has_dtype_ = true;
    } else {
      unexpected("a string");
    }
  }
  void whole(uint64_t value) override {
    if (skipped()) return;
    if (place_ == Place::shape) {
      if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) unexpected("a number past 2^63");
      tensor_.shape.push_back(static_cast<int64_t>(value));
    } else if (place_ == Place::offsets) {
      if (offset_count_ == 0) tensor_.begin = value;
      if (offset_count_ == 1) tensor_.end = value;
      ++offset_count_;
    } else {
      unexpected("a number");
    }
  }
  void negative(int64_t) override { scalar("a negative number"); }
  void real(double) override { scalar("a number that is not written as plain digits or does not fit 64 bits"); }
  void boolean(bool) override { scalar("true or false"); }
  void null() override {
    if (place_ == Place::root && name_ == "__metadata__") return;
    scalar("null");
  }

 private:
  enum class Place { outside, root, metadata, tensor, shape, offsets };
  enum class Field { dtype, shape, offsets, unknown };

  bool skipped() const { return depth_ > 0 || (place_ == Place::tensor && field_ == Field::unknown); }
  void scalar(const char* what) {
    if (!skipped()) unexpected(what);
  }

  [[noreturn]] void unexpected(const char* got) {
    switch (place_) {
      case Place::outside:
        fail(message("the header is no object (expected {, got ", got, ")"));
      case Place::root:
        fail(message("\"", escaped(name_), "\" (expected an object, got ", got, ")"));
      case Place::metadata:
        fail(message("__metadata__ \"", escaped(metadata_key_), "\" (expected a string, got ", got, ")"));
      case Place::tensor:
        fail(message("tensor \"", escaped(name_), "\": ", field_name(), " (expected ",
                     field_ == Field::dtype ? "a string" : "an array", ", got ", got, ")"));
      default:
        fail(message("tensor \"", escaped(name_), "\": ", field_name(), " (expected whole numbers, got ", got, ")"));
    }
  }
  const char* field_name() const {
    return field_ == Field::dtype ? "dtype" : field_ == Field::shape ? "shape" : "data_offsets";
  }
  [[noreturn]] void fail(const std::string& reason) { throw BadFile(source_, reason, start_ + position); }

  void finish_tensor() {
    if (!has_dtype_ || !has_shape_ || !has_offsets_)
      fail(message("tensor \"", escaped(name_), "\" lacks ",
                   !has_dtype_ ? "dtype" : !has_shape_ ? "shape" : "data_offsets"));
    if (tensor_.begin > tensor_.end)
      fail(message("tensor \"", escaped(name_), "\": bytes ", tensor_.begin, " to ", tensor_.end, " run backwards"));
    const std::optional<uint64_t> bytes = tensor_bytes(tensor_.dtype, tensor_.shape);
    if (!bytes)
      fail(message("tensor \"", escaped(name_), "\": its shape gives no possible size (past 2^48 elements, or no whole bytes)"));
    if (*bytes != tensor_.bytes())
      fail(message("tensor \"", escaped(name_), "\": bytes ", tensor_.begin, " to ", tensor_.end, " do not fit its shape (expected ",
                   *bytes, " bytes, got ", tensor_.bytes(), ")"));
    tensor_.name = name_;
    header.tensors.push_back(std::move(tensor_));
  }

  const std::string& source_;
  uint64_t start_;
  Place place_ = Place::outside;
  Field field_ = Field::dtype;
  size_t depth_ = 0;  // containers open below an unknown field
  std::string name_, metadata_key_;
  TensorInfo tensor_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false;
  int offset_count_ = 0;
};

}  // namespace

int64_t TensorInfo::numel() const {
  int64_t product = 1;
  for (const int64_t size : shape) product *= size;
  return product;
}

std::optional<uint64_t> tensor_bytes(DType dtype, const std::vector<int64_t>& shape) {
  uint64_t elements = 1;
  bool empty = false;
  for (const int64_t size : shape) {
    if (size < 0) return std::nullopt;
    if (size == 0) empty = true;
    if (size > 0 && __builtin_mul_overflow(elements, static_cast<uint64_t>(size), &elements)) return std::nullopt;
    if (elements > kMostElements) return std::nullopt;
  }
  uint64_t total_bits = 0;
  if (__builtin_mul_overflow(empty ? 0 : elements, static_cast<uint64_t>(bits(dtype)), &total_bits)) return std::nullopt;
  if (total_bits % 8 != 0) return std::nullopt;
  return total_bits / 8;
}

std::optional<std::string> name_defect(std::string_view name) {
  if (name.empty()) return "is empty";
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) return "holds a control character";
  }
  return std::nullopt;
}

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& source, uint64_t start) {
  HeaderEvents events(source, start);
  walk_json(text, source, events, start);
  SafetensorsHeader header = std::move(events.header);
  std::sort(header.tensors.begin(), header.tensors.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  uint64_t covered = 0;
  for (const TensorInfo& tensor : header.tensors) {
    if (tensor.begin != covered)
      throw BadFile(source, message("tensor \"", escaped(tensor.name), "\": bytes ", tensor.begin, " to ", tensor.end,
                                    tensor.begin > covered ? " leave a hole" : " overlap another tensor", " (expected to begin at ",
                                    covered, ")"));
    covered = tensor.end;
  }
  return header;
}

}  // namespace sara
