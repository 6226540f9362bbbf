#pragma once
// One OpCase describes one op at one shape: its tensors, how to call it and a naive reference. The tests use it to
// check gradients, agreement of backends, determinism and memory accesses, and `gptmoe bench ops` times the op.
//
//   OpCase op("square", {n});
//   op.variable("x", {n}, normal(), Write::add);   // the backward adds to dx
//   op.output("y", {n});                           // dy is drawn at random
//   op.forward = [](Ops& ops, const Tensors& t) { ops.square_forward(t["y"], t["x"]); };
//   op.backward = [](Ops& ops, const Tensors& t) { ops.square_backward(t["dx"], t["dy"], t["x"]); };
//   op.reference = [=](Values& v) { for (int64_t i = 0; i < n; ++i) v["y"][i] = v["x"][i] * v["x"][i]; };
#include <functional>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"
#include "kernels/ops.h"

namespace gptmoe {

// Element type: the backend's compute or statistics type, or one that is the same on every backend.
enum class Kind { real, stat, bf16, i32, i64, u8 };

enum class Role {
  input,     // must not change; inputs, and the gradients of outputs
  output,    // written by the forward or the backward
  gradient,  // written by the backward: the gradient of the input whose name follows the d
  scratch,   // undefined afterwards
};

// The value of element i. Values are rounded to f32, so that backends of any precision start from the same numbers.
using Fill = std::function<double(const Rng& rng, int64_t i)>;
Fill normal(double mean = 0, double deviation = 1);
Fill uniform(double low, double high);
Fill below(int64_t bound);  // whole numbers in [0, bound)
Fill constant(double value);
template <typename T>
Fill listed(std::vector<T> values) {
  return [values = std::move(values)](const Rng&, int64_t i) { return static_cast<double>(values.at(i)); };
}

struct TensorSpec {
  std::string name;
  Role role;
  Kind kind;
  std::vector<int64_t> sizes;
  Fill fill;               // values before the passes; absent: garbage, which must be overwritten
  std::string starts_as;   // if not empty: the tensor that is copied to this one just before the pass that writes it
  bool exact = false;      // backends must agree to the last bit
  bool any_width = false;  // no other tensor fixes its number of columns
  bool any_type = false;   // the op takes it in any element type
  int64_t live = -1;       // the passes may not access elements with this or a higher number; -1: no limit

  int64_t count() const;
  int64_t live_count() const { return live < 0 ? count() : live; }
  bool written() const { return role == Role::output || role == Role::gradient; }
};

// A case's tensors on one backend, by name.
class Tensors {
 public:
  virtual ~Tensors() = default;
  virtual const Tensor& operator[](std::string_view name) const = 0;
};

using OpPass = std::function<void(Ops&, const Tensors&)>;
using Values = std::map<std::string, std::vector<double>, std::less<>>;

struct OpCase {
  // Named "op_7x5x3" or "op_7x5x3_variant".
  OpCase(std::string_view op, std::initializer_list<int64_t> shape, std::string_view variant = "");

  using Sizes = std::vector<int64_t>;
  void input(std::string_view tensor, Sizes sizes, Fill fill, Kind kind = Kind::real);
  // An input with a gradient, d<tensor>, overwritten or added to by the backward.
  void variable(std::string_view tensor, Sizes sizes, Fill fill, Write gradient, Kind kind = Kind::real);
  // A real input that is a parameter of the model: d<tensor> is in stat, and the backward adds to it.
  void parameter(std::string_view tensor, Sizes sizes, Fill fill);
  // An output with a gradient, the input d<tensor> of the backward.
  void output(std::string_view tensor, Sizes sizes, Kind kind = Kind::real, Fill gradient = normal());
  // An output through which no gradient flows: statistics, ids.
  void result(std::string_view tensor, Sizes sizes, Kind kind);
  void scratch(std::string_view tensor, Sizes sizes, Kind kind = Kind::real);

  // `tensor` is added to, so it starts with random numbers.
  void accumulates(std::string_view tensor);
  // `tensor` starts as a copy of `source`: for in-place ops and outputs that alias an input.
  void in_place(std::string_view tensor, std::string_view source);
  void exact(std::string_view tensor) { spec(tensor).exact = true; }
  void any_width(std::string_view tensor) { spec(tensor).any_width = true; }
  // Elements of `tensor` and of its gradient from `live` on must be left alone; they hold garbage, and count as 0 in
  // Values and comparisons.
  void ends_at(std::string_view tensor, int64_t live);
  void any_type(std::string_view tensor) { spec(tensor).any_type = true; }

  TensorSpec& spec(std::string_view tensor);
  const TensorSpec* find(std::string_view tensor) const;

  std::string name;
  std::string op, shape;  // parts of the name: "op" or "op_variant"; "7x5x3"
  std::vector<TensorSpec> tensors;
  OpPass forward;
  OpPass backward;  // absent: the op has no gradient
  // Receives every tensor's values before the passes, as doubles. Overwrites or adds to all tensors of Role::output,
  // with plain loops.
  std::function<void(Values&)> reference;
  double tolerance = 1e-5;  // f32 against f64, see worst_difference in case_run.h
  double bf16_tolerance = 1e-2;
};

inline std::ostream& operator<<(std::ostream& out, const OpCase& op) { return out << op.name; }

struct OpCases {
  std::vector<OpCase> tests;
  std::vector<OpCase> benchmarks;
  std::vector<OpCase> gpu_benchmarks;  // 8 sequences of 2048 tokens, half a micro-batch of configs/paper/8c1_*.json
};

// The cases of all families.
const OpCases& op_cases();

// The ops that have kernels for Hopper: the first words of their cases' names.
inline constexpr std::string_view kHopperOps[] = {"grouped_linear", "grouped_swiglu", "attention"};
bool has_hopper_kernel(const OpCase& op);

// Cases of these ops that Hopper's kernels take. They have rows and columns that do not fill tiles, experts without
// rows, and on a GPU with that many multiprocessors, enough tiles that blocks compute several.
std::vector<OpCase> hopper_cases(int64_t multiprocessors);
void add_grouped_hopper_cases(std::vector<OpCase>& cases, int64_t multiprocessors);
void add_attention_hopper_cases(std::vector<OpCase>& cases, int64_t multiprocessors);

// One per file cases_<family>.cpp.
void add_dense_cases(OpCases& cases);
void add_norm_cases(OpCases& cases);
void add_attention_cases(OpCases& cases);
void add_lm_head_cases(OpCases& cases);
void add_router_cases(OpCases& cases);
void add_balance_cases(OpCases& cases);
void add_sparsemixer_cases(OpCases& cases);
void add_threshold_cases(OpCases& cases);
void add_moe_cases(OpCases& cases);
void add_grouped_cases(OpCases& cases);
void add_default_cases(OpCases& cases);
void add_optim_cases(OpCases& cases);
void add_rounding_cases(OpCases& cases);

}  // namespace gptmoe
