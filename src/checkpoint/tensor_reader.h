#pragma once
// Reads the tensors of a model by gptmoe's names. The files may have any format, and other names for the tensors.
#include <string>
#include <vector>

#include "base/memory.h"

namespace gptmoe {

class TensorReader {
 public:
  virtual ~TensorReader() = default;

  // The names of all tensors, in the order of the files.
  virtual std::vector<std::string> names() const = 0;
  virtual bool holds(const std::string& name) const = 0;
  // Throws UserError naming the file and the tensor unless there is a tensor `name` of these sizes that read_part() can
  // read as `dtype`.
  virtual void check(const std::string& name, DType dtype, const std::vector<int64_t>& sizes) const = 0;
  // Reads (=) out.count() elements of tensor `name`, from `first` on, into `out`, which is in `memory`. The tensor must
  // have passed check(). F32 widens to f64 exactly and is rounded to bf16.
  virtual void read_part(const std::string& name, int64_t first, const Tensor& out,
                         Memory& memory = host_memory()) const = 0;
};

}  // namespace gptmoe
