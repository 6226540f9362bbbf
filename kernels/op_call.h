#pragma once
// One call of an op: checks its operands against their declaration and computes the least cost of the call.
#include <array>
#include <vector>

#include "kernels/kernels.h"
#include "kernels/op_declaration.h"

namespace gptmoe {

enum class Part { product, attention, memory, optimizer };
constexpr int kParts = 4;
const char* part_name(Part part);

class OpCall {
 public:
  OpCall(OpId op, const Kernels& kernels)
      : op_(op), declaration_(op_declaration(op)), real_(kernels.compute_dtype()), stat_(kernels.statistics_dtype()) {
    sizes_.fill(-1);
  }

  // Takes the next argument; call these functions for all arguments, in order.
  void take(const Tensor& tensor);
  void take(double value);
  void take(int64_t value) { take(static_cast<double>(value)); }
  void take(bool value) { take(value ? 1.0 : 0.0); }
  void take(Write write);
  void take(Divisor divisor) { take(divisor == Divisor::gates ? 1.0 : 0.0); }
  void take(const AdamwConstants&) { take(0.0); }
  // Throws BugError if an operand has a wrong type or shape, or shares memory that it must not share.
  void check();

  OpId op() const { return op_; }
  DType compute_dtype() const { return real_; }
  const std::string& name() const { return declaration_.name; }
  Part part() const { return part_; }
  // For a matrix product, rows x terms x columns (x E if grouped); for other ops, the sizes of the largest operand.
  std::string shape() const;
  // The floating-point operations of matrix products and attention; all other ops count 0. A multiply-add counts as
  // two. Causal attention counts only the keys that a query sees, and products over sorted rows count only the live
  // rows. live_share is the share of the R sorted rows that are live (moe_ops.inc).
  double flops(double live_share) const { return routed_ ? live_share * flops_ : flops_; }
  // The bytes that the call must move: each operand once, or twice if it is read and written. A table counts only the
  // rows that are used, and sorted rows count only the live ones. Scratch does not count.
  double bytes(double live_share) const;
  // For each operand, the bytes that the call must move.
  struct Moved {
    const Tensor* tensor;  // as passed
    double bytes;
  };
  std::vector<Moved> moved(double live_share) const;

  // ---- For the rules (op_rules.cpp) and for predictions.
  const Tensor& tensor(std::string_view name) const { return *find(name).tensor; }
  bool is_stat(std::string_view name) const { return tensor(name).dtype() == stat_; }
  double value(std::string_view name) const;
  // The size of a letter, taken from the operands. Throws BugError if no operand has the letter.
  int64_t size(char letter) const;
  // Sets the size of a letter. Throws BugError if the letter has a different size already.
  void bind(char letter, int64_t size);
  void require(bool condition, std::string_view what) const;
  // `written` may be the same memory as `other`.
  void may_alias(std::string_view written, std::string_view other);
  // These adjust the cost. reaches(): the call moves only this share of an operand's bytes. also_reads(): the call also
  // reads an operand that it writes.
  void reaches(std::string_view name, double share) { find(name).moved *= share; }
  void also_reads(std::string_view name) { find(name).moved *= 2; }
  // Marks an operand without letters as sorted rows.
  void over_sorted_rows(std::string_view name) { find(name).sorted = true; }
  // The call computes `count` matrix products. `rows`, `terms` and `columns` are letters. A product has size(rows) rows
  // and times_columns * size(columns) columns, and sums size(terms) terms per element.
  void product(char rows, char terms, char columns, int count = 1, int times_columns = 1);
  void attention(int products, int64_t first);
  void optimizer() { part_ = Part::optimizer; }

 private:
  struct Operand {
    const OperandDeclaration* declared;
    const Tensor* tensor;
    double moved;  // bytes that the call moves / bytes of the tensor
    bool sorted;
    const Operand* alias;
  };
  static constexpr int kMostOperands = 10, kMostValues = 3;

  const Operand& find(std::string_view name) const;
  Operand& find(std::string_view name) { return const_cast<Operand&>(std::as_const(*this).find(name)); }
  [[noreturn]] void refuse(const Operand& operand, const std::string& why) const;
  void check_type(const Operand& operand) const;
  void bind_shape(const Operand& operand);
  void check_aliases() const;

  OpId op_;
  const OpDeclaration& declaration_;
  DType real_, stat_;
  std::array<Operand, kMostOperands> operands_;
  std::array<double, kMostValues> values_;
  int operand_count_ = 0, value_count_ = 0;
  std::array<int64_t, 26> sizes_;
  Part part_ = Part::memory;
  double flops_ = 0;
  bool routed_ = false;
  std::array<int64_t, 4> product_{};  // rows, terms, columns, experts
};

// Applies the checks and costs that declarations do not express: relations between letters, operands that may share
// memory, FLOPs.
void apply_rule(OpId op, OpCall& call);

// Its functions are called before and after every call of the ops that it observes (Ops::observed_by()).
class OpObserver {
 public:
  virtual ~OpObserver() = default;
  virtual void before(const OpCall&) {}
  virtual void after(const OpCall&) {}
};

}  // namespace gptmoe
