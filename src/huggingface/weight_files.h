#pragma once
// The weights of a Hugging Face folder: model.safetensors, or several files that model.safetensors.index.json lists.
#include <deque>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors.h"
#include "distributed/world.h"

namespace gptmoe {

class WeightFiles final : public TensorReader {
 public:
  // Opens every file and checks its header, and that the files hold exactly the tensors that the index lists. Throws
  // UserError naming the file, and the tensor if there is one.
  explicit WeightFiles(const std::filesystem::path& folder);

  // The file that lists all tensors: the index or the only file.
  const std::filesystem::path& place() const { return place_; }
  const std::vector<int64_t>& sizes(const std::string& name) const { return at(name).entry->sizes; }
  // The checksum of the bytes of all files, in the order of their names. For a single file, it equals that of a
  // checkpoint with the same bytes.
  std::string checksum(World* world) const;
  // Throws a UserError about a tensor: FILE: tensor "NAME": WHY.
  [[noreturn]] void fail(const std::string& name, const std::string& why) const { at(name).file->fail(name, why); }

  std::vector<std::string> names() const override;
  bool holds(const std::string& name) const override { return tensors_.contains(name); }
  // F32, BF16 and F16 can be read as any floating-point dtype.
  void check(const std::string& name, DType dtype, const std::vector<int64_t>& sizes) const override;
  void read_part(const std::string& name, int64_t first, const Tensor& out,
                 Memory& memory = host_memory()) const override;

 private:
  struct Place {
    const SafetensorsFile* file;
    const SafetensorsFile::Entry* entry;
  };
  const Place& at(const std::string& name) const { return tensors_.at(name); }
  const SafetensorsFile& open(const std::filesystem::path& path);

  std::filesystem::path place_;
  std::deque<SafetensorsFile> files_;
  std::map<std::string, Place> tensors_;
};

}  // namespace gptmoe
