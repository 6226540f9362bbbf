#pragma once
// A case on one backend: fills its tensors in guarded memory of the backend, runs the passes and checks the results.
#include <memory>

#include "op_cases/op_case.h"

namespace gptmoe {

DType dtype_of(Kind kind, const Ops& ops);
Tensor make_tensor(void* data, DType dtype, const std::vector<int64_t>& sizes);

// The garbage in tensors that must be overwritten. Runs with different garbage reveal a result that depends on it.
enum class Garbage { nan, large };

// Where tensors start. Tensors of a model may start at any element: some are ranges of rows of another one.
enum class Start { at_line, at_odd_element };

class CaseRun final : public Tensors {
 public:
  // Real tensors start with values that `values` can hold, so that a run in f64 can be compared with one in bf16.
  CaseRun(const OpCase& op, Ops& ops, Garbage garbage = Garbage::nan, DType values = DType::f32,
          Start start = Start::at_line);
  CaseRun(const CaseRun&) = delete;
  CaseRun& operator=(const CaseRun&) = delete;
  ~CaseRun() override;

  const Tensor& operator[](std::string_view name) const override;

  void forward();
  void backward();  // does nothing if the op has none

  const OpCase& op() const { return op_; }
  // Elements from TensorSpec::live on read as 0.
  std::vector<double> read(std::string_view name) const;
  std::vector<double> before(std::string_view name) const;               // the tensor's values before the passes
  void write(std::string_view name, const std::vector<double>& values);  // the tensor's live elements
  // Restores all tensors to their state before the passes.
  void reset();

  // After the passes, in words: guards overwritten, inputs changed, outputs not overwritten or not finite.
  std::vector<std::string> broken_promises();
  bool same_bits(const CaseRun& other, std::string_view name) const;

 private:
  class Buffer;
  Buffer& buffer(std::string_view name) const;
  void start_in_place(Role role);

  const OpCase& op_;
  Ops& ops_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
};

// The element of an output or gradient where `got` differs most from `expected`, measured as
//   |got - expected| / (|expected| + rms of the tensor), or infinity if integers or exact tensors differ at all.
struct Difference {
  double error = 0;
  std::string where = "nowhere";
};
Difference worst_difference(const CaseRun& got, const CaseRun& expected);
// The worst difference in one tensor; `name` is only for the message.
Difference worst_difference(std::string_view name, const std::vector<double>& got, const std::vector<double>& expected,
                            bool exact);

}  // namespace gptmoe
