#pragma once
// Named tensors in a file, in the format of Hugging Face safetensors: the header's length in 8 bytes (little-endian), a
// JSON header {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin, end]}, ..., "__metadata__": {..}} padded
// with spaces to 8 bytes, then the elements, little-endian and without gaps. Reads and writes F64, F32, BF16, I64, I32
// and U8; F16 can only be read.
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/memory.h"
#include "checkpoint/tensor_reader.h"

namespace gptmoe {

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// A tensor to write. Its elements may be in any memory, or on other ranks.
struct TensorSource {
  using Take = std::function<void(const void* data, int64_t bytes)>;

  std::string name;
  DType dtype;
  std::vector<int64_t> sizes;
  std::function<void(const Take&)> visit;  // passes all bytes to the argument, in order
};
// A tensor in `memory`, which must outlive the source.
TensorSource source_of(const NamedTensor& named, Memory& memory = host_memory());

using SafetensorsMetadata = std::map<std::string, std::string>;

// The order of tensors in a file: wide dtypes first, so that every tensor is aligned; within a dtype, the given order.
std::vector<TensorSource> in_file_order(std::vector<TensorSource> tensors);

// Writes the file through an AtomicFile (all or nothing, flushed to the disk) and returns the Checksum of its bytes.
// Visits each tensor once, in the order of in_file_order(). Throws Failure.
uint64_t write_safetensors(const std::filesystem::path& path, const std::vector<TensorSource>& tensors,
                           const SafetensorsMetadata& metadata = {});

// "(2, 3)"
std::string shape_text(const std::vector<int64_t>& sizes);

// A file open for reading. The constructors check the whole header: lengths and offsets within the file, data without
// gaps or overlaps, sizes that agree with shapes, no duplicate names. Every error is a UserError naming the file and
// the tensor or byte.
class SafetensorsFile final : public TensorReader {
 public:
  // How elements are stored, and the dtype that holds their values.
  struct Encoding {
    const char* name;                           // in the header
    DType dtype;                                // f32 for F16
    int64_t bytes;                              // of an element
    float (*widened)(uint16_t bits) = nullptr;  // the value of an element of 2 bytes
  };

  struct Entry {
    std::string name;
    const Encoding* encoding;
    std::vector<int64_t> sizes;  // any number of dimensions
    int64_t begin, end;          // bytes, from the first byte after the header

    DType dtype() const { return encoding->dtype; }
    int64_t count() const { return (end - begin) / encoding->bytes; }
  };

  explicit SafetensorsFile(const std::filesystem::path& path) : SafetensorsFile(FileReader(path)) {}
  explicit SafetensorsFile(FileReader file);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<Entry>& entries() const { return entries_; }  // in the order of their data
  const SafetensorsMetadata& metadata() const { return metadata_; }
  const Entry* find(const std::string& name) const;  // nullptr if absent

  std::vector<std::string> names() const override;
  bool holds(const std::string& name) const override { return find(name) != nullptr; }
  // The tensor must be in `dtype` itself or, if `dtype` is f64 or bf16, in F32.
  void check(const std::string& name, DType dtype, const std::vector<int64_t>& sizes) const override;
  // Also widens BF16 to f32 and f64.
  void read_part(const std::string& name, int64_t first, const Tensor& out,
                 Memory& memory = host_memory()) const override;
  // Calls check(), then reads tensor `name` into `out`, which is in `memory`.
  void read(const std::string& name, const Tensor& out, Memory& memory = host_memory()) const;

  // Throws a UserError about a tensor: FILE: tensor "NAME": WHY.
  [[noreturn]] void fail(const std::string& tensor, const std::string& why) const;
  const FileReader& file() const { return file_; }

 private:
  void parse_header(std::string_view header);
  void check_layout() const;

  FileReader file_;
  int64_t data_begin_ = 0;  // the first byte after the header
  int64_t data_bytes_ = 0;
  std::vector<Entry> entries_;
  std::map<std::string, size_t> index_;
  SafetensorsMetadata metadata_;
};

}  // namespace gptmoe
