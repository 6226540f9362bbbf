#include "checkpoint/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <tuple>
#include <utility>

#include "base/bf16.h"
#include "base/check.h"
#include "base/checksum.h"
#include "base/f16.h"
#include "base/json.h"
#include "base/read_json.h"

namespace gptmoe {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are copied as they are in memory");

using nlohmann::json;

constexpr int64_t kLengthBytes = 8;
constexpr int64_t kPartCount = 1 << 20;  // elements that pass through the host at a time
constexpr const char* kMetadataKey = "__metadata__";
using Encoding = SafetensorsFile::Encoding;
// A tensor is written in the first encoding that has its dtype.
constexpr Encoding kEncodings[] = {{"F64", DType::f64, 8},
                                   {"F32", DType::f32, 4},
                                   {"BF16", DType::bf16, 2, bf16_value},
                                   {"F16", DType::f32, 2, f16_value},
                                   {"I64", DType::i64, 8},
                                   {"I32", DType::i32, 4},
                                   {"U8", DType::u8, 1}};

const char* file_dtype_name(DType dtype) {
  return std::find_if(std::begin(kEncodings), std::end(kEncodings), [&](auto& e) { return e.dtype == dtype; })->name;
}

const Encoding* encoding_called(const std::string& name) {
  const auto* found =
      std::find_if(std::begin(kEncodings), std::end(kEncodings), [&](auto& e) { return e.name == name; });
  return found == std::end(kEncodings) ? nullptr : found;
}

std::string encoding_names() {
  std::string names;
  for (const Encoding& encoding : kEncodings) names += (names.empty() ? "" : ", ") + std::string(encoding.name);
  return names;
}

std::vector<int64_t> sizes_of(const Tensor& tensor) {
  std::vector<int64_t> sizes;
  for (int i = 0; i < tensor.rank(); ++i) sizes.push_back(tensor.size(i));
  return sizes;
}

// Appends the numbers of a JSON array to `out`. Returns false unless each is a whole number from 0 to 2^63 - 1.
bool read_counts(const json& value, std::vector<int64_t>& out) {
  if (!value.is_array()) return false;
  for (const json& item : value) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > INT64_MAX) return false;
    out.push_back(item.get<int64_t>());
  }
  return true;
}

// The bytes of a tensor with elements of this size; -1 if they exceed int64.
int64_t bytes_of(int64_t element_bytes, const std::vector<int64_t>& sizes) {
  if (std::count(sizes.begin(), sizes.end(), 0)) return 0;
  int64_t bytes = element_bytes;
  for (int64_t size : sizes)
    if (__builtin_mul_overflow(bytes, size, &bytes)) return -1;
  return bytes;
}

// Returns elements in F32, BF16 or F16 as floats. The result points to `elements` if they are F32, else into `widened`.
const float* as_floats(const Encoding& encoding, const void* elements, int64_t count, std::vector<float>& widened) {
  if (!encoding.widened) return static_cast<const float*>(elements);
  const auto* narrow = static_cast<const uint16_t*>(elements);
  widened.resize(static_cast<size_t>(count));
  std::transform(narrow, narrow + count, widened.begin(), encoding.widened);
  return widened.data();
}

}  // namespace

std::string shape_text(const std::vector<int64_t>& sizes) {
  std::string out = "(";
  for (size_t i = 0; i < sizes.size(); ++i) out += (i ? ", " : "") + std::to_string(sizes[i]);
  return out + ")";
}

TensorSource source_of(const NamedTensor& named, Memory& memory) {
  GPTMOE_CHECK(named.tensor.present(), named.name);
  return {
      named.name, named.tensor.dtype(), sizes_of(named.tensor),
      [tensor = named.tensor, &memory](const TensorSource::Take& take) { for_each_host_part(memory, tensor, take); }};
}

std::vector<TensorSource> in_file_order(std::vector<TensorSource> tensors) {
  std::stable_sort(tensors.begin(), tensors.end(), [](const TensorSource& a, const TensorSource& b) {
    return dtype_bytes(a.dtype) > dtype_bytes(b.dtype);
  });
  return tensors;
}

uint64_t write_safetensors(const std::filesystem::path& path, const std::vector<TensorSource>& tensors,
                           const SafetensorsMetadata& metadata) {
  const std::vector<TensorSource> ordered = in_file_order(tensors);
  json entries = json::object();
  if (!metadata.empty()) entries[kMetadataKey] = metadata;
  int64_t offset = 0;
  for (const TensorSource& tensor : ordered) {
    GPTMOE_CHECK(!entries.contains(tensor.name), tensor.name);
    const int64_t bytes = bytes_of(dtype_bytes(tensor.dtype), tensor.sizes);
    entries[tensor.name] = {
        {"dtype", file_dtype_name(tensor.dtype)}, {"shape", tensor.sizes}, {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string header = entries.dump();
  header.resize((header.size() + 7) / 8 * 8, ' ');

  AtomicFile file(path);
  Checksum checksum;
  int64_t written = 0;
  const auto put = [&](const void* data, int64_t bytes) {
    if (bytes == 0) return;
    written += bytes;
    file.write(data, bytes);
    checksum.update(data, bytes);
  };
  const uint64_t length = header.size();
  put(&length, kLengthBytes);
  put(header.data(), static_cast<int64_t>(length));
  for (const TensorSource& tensor : ordered) tensor.visit(put);
  GPTMOE_CHECK(written == kLengthBytes + static_cast<int64_t>(length) + offset, path.string());
  file.commit();
  return checksum.value();
}

SafetensorsFile::SafetensorsFile(FileReader file) : file_(std::move(file)) {
  uint64_t length = 0;
  if (file_.size() < kLengthBytes)
    user_error(path().string(), ": ", file_.size(), " bytes are too short for a safetensors file");
  file_.read(&length, kLengthBytes, 0);
  if (length > static_cast<uint64_t>(file_.size() - kLengthBytes))
    user_error(path().string(), ":0: a safetensors header of ", length, " bytes does not fit into the file of ",
               file_.size(), " bytes: it is cut short or not a safetensors file");
  data_begin_ = kLengthBytes + static_cast<int64_t>(length);
  data_bytes_ = file_.size() - data_begin_;
  std::string header(length, '\0');
  file_.read(header.data(), std::ssize(header), kLengthBytes);
  parse_header(header);
  check_layout();
}

void SafetensorsFile::parse_header(std::string_view header) {
  const json parsed = with_remedy("the safetensors header is damaged",
                                  [&] { return parse_json_inside(header, path().string(), kLengthBytes); });
  if (!parsed.is_object() || header[0] != '{')
    user_error(path().string(), ":", kLengthBytes, ": the safetensors header is not a JSON object");
  for (const auto& [name, value] : parsed.items()) {
    if (name == kMetadataKey) {
      if (!value.is_object()) fail(name, "is not an object");
      for (const auto& [key, word] : value.items()) {
        if (!word.is_string()) fail(name, "\"" + key + "\" is not a string");
        metadata_[key] = word.get<std::string>();
      }
      continue;
    }
    Entry entry{name, nullptr, {}, 0, 0};
    std::vector<int64_t> offsets;
    if (!value.is_object() || value.size() != 3 || !value.contains("dtype") || !value["dtype"].is_string() ||
        !value.contains("shape") || !read_counts(value["shape"], entry.sizes) || !value.contains("data_offsets") ||
        !read_counts(value["data_offsets"], offsets) || offsets.size() != 2)
      fail(name, "the header must give its dtype, shape and data_offsets, and nothing else");
    const std::string dtype = value["dtype"].get<std::string>();
    entry.encoding = encoding_called(dtype);
    if (!entry.encoding) fail(name, text("dtype ", dtype, " is not one of ", encoding_names()));
    entry.begin = offsets[0];
    entry.end = offsets[1];
    entries_.push_back(std::move(entry));
  }
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  for (size_t i = 0; i < entries_.size(); ++i) index_[entries_[i].name] = i;
}

void SafetensorsFile::check_layout() const {
  int64_t expected = 0;
  for (const Entry& entry : entries_) {
    if (entry.end < entry.begin || entry.end > data_bytes_)
      fail(entry.name, text("data_offsets [", entry.begin, ", ", entry.end, "] are not a range within the ",
                            data_bytes_, " bytes of data: the file is damaged or cut short"));
    if (entry.begin != expected)
      fail(entry.name, text("data begins at ", entry.begin, ", but the tensor before it ends at ", expected));
    if (entry.end - entry.begin != bytes_of(entry.encoding->bytes, entry.sizes))
      fail(entry.name,
           text(entry.end - entry.begin, " bytes do not hold ", entry.encoding->name, " ", shape_text(entry.sizes)));
    expected = entry.end;
  }
  if (expected != data_bytes_)
    user_error(path().string(), ":", file_.size() - data_bytes_ + expected, ": ", data_bytes_ - expected,
               " bytes belong to no tensor");
}

const SafetensorsFile::Entry* SafetensorsFile::find(const std::string& name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> names;
  for (const Entry& entry : entries_) names.push_back(entry.name);
  return names;
}

void SafetensorsFile::check(const std::string& name, DType dtype, const std::vector<int64_t>& sizes) const {
  const Entry* entry = find(name);
  if (!entry) fail(name, text("is missing; expected ", dtype_name(dtype), " ", shape_text(sizes)));
  if (entry->sizes != sizes) fail(name, "has the shape " + shape_text(entry->sizes) + " and not " + shape_text(sizes));
  const bool converts = entry->dtype() == DType::f32 && (dtype == DType::f64 || dtype == DType::bf16);
  if (entry->dtype() != dtype && !converts)
    fail(name, text("holds ", dtype_name(entry->dtype()), ", which does not convert exactly to ", dtype_name(dtype)));
}

void SafetensorsFile::read(const std::string& name, const Tensor& out, Memory& memory) const {
  check(name, out.dtype(), sizes_of(out));
  read_part(name, 0, out, memory);
}

void SafetensorsFile::read_part(const std::string& name, int64_t first_element, const Tensor& out,
                                Memory& memory) const {
  const Entry& entry = *find(name);
  const int64_t each = entry.encoding->bytes;
  int64_t position = data_begin_ + entry.begin + first_element * each;
  GPTMOE_CHECK(first_element + out.count() <= entry.count(), out.describe());
  if (out.count() == 0) return;
  const bool same_dtype = entry.dtype() == out.dtype() && each == dtype_bytes(out.dtype());
  if (same_dtype && memory.on_host()) return file_.read(out.data(), out.bytes(), position);
  std::vector<double> part(static_cast<size_t>(std::min(out.count(), kPartCount)));  // aligned for every dtype
  std::vector<float> widened;
  const Tensor flat = out.view({out.count()});
  for (int64_t first = 0; first < flat.count(); first += kPartCount) {
    const Tensor piece = flat.rows(first, std::min(kPartCount, flat.count() - first));
    const int64_t bytes = piece.count() * each;
    file_.read(part.data(), bytes, position);
    position += bytes;
    same_dtype ? memory.upload(piece, part.data())
               : upload_floats(memory, piece, as_floats(*entry.encoding, part.data(), piece.count(), widened));
  }
}

void SafetensorsFile::fail(const std::string& tensor, const std::string& why) const {
  user_error(path().string(), ": tensor \"", tensor, "\": ", why);
}

}  // namespace gptmoe
