#include "kernels/op_call.h"

#include <algorithm>
#include <utility>

namespace gptmoe {
namespace {

bool overlap(const Tensor& a, const Tensor& b) {
  const auto* a_begin = static_cast<const char*>(a.data());
  const auto* b_begin = static_cast<const char*>(b.data());
  return a_begin && b_begin && a_begin < b_begin + b.bytes() && b_begin < a_begin + a.bytes();
}

bool writes(Access access) { return access != Access::in; }

}  // namespace

const char* part_name(Part part) {
  switch (part) {
    case Part::product: return "matrix products";
    case Part::attention: return "attention";
    case Part::memory: return "memory-bound";
    case Part::optimizer: return "optimizer";
  }
  return "";
}

void OpCall::take(const Tensor& tensor) {
  GPTMOE_CHECK(operand_count_ < std::min<int64_t>(kMostOperands, std::ssize(declaration_.operands)), name());
  const OperandDeclaration& declared = declaration_.operands[static_cast<size_t>(operand_count_)];
  const bool twice = declared.access == Access::add || declared.access == Access::update;
  const double moved = declared.access == Access::scratch ? 0 : twice ? 2 : 1;
  const bool sorted = !declared.any_shape && declared.shape.front().letter == 'R';
  operands_[static_cast<size_t>(operand_count_++)] = {&declared, &tensor, moved, sorted, nullptr};
}

void OpCall::take(double value) {
  GPTMOE_CHECK(value_count_ < kMostValues, name());
  values_[static_cast<size_t>(value_count_++)] = value;
}

// With Write::add, the call adds to its first output.
void OpCall::take(Write write) {
  if (write == Write::add) operands_.front().moved *= 2;
  take(write == Write::add ? 1.0 : 0.0);
}

void OpCall::check() {
  for (int i = 0; i < operand_count_; ++i) {
    const Operand& operand = operands_[static_cast<size_t>(i)];
    if (!operand.tensor->present()) {
      if (!operand.declared->optional) refuse(operand, "must be given");
      continue;
    }
    check_type(operand);
    if (!operand.declared->any_shape) bind_shape(operand);
  }
  const auto bound = [this](char letter) { return sizes_[static_cast<size_t>(letter - 'A')] >= 0; };
  if (bound('R') && bound('N') && bound('K')) require(size('R') == size('N') * size('K'), "R = N * K");
  apply_rule(op_, *this);
  check_aliases();
}

void OpCall::check_type(const Operand& operand) const {
  const DType type = operand.tensor->dtype();
  const bool right = [&] {
    switch (operand.declared->type) {
      case ElementType::real: return type == real_;
      case ElementType::stat: return type == stat_;
      case ElementType::real_or_stat: return type == real_ || type == stat_;
      case ElementType::i32: return type == DType::i32;
      case ElementType::i64: return type == DType::i64;
      case ElementType::u8: return type == DType::u8;
      case ElementType::any: return true;
    }
    return false;
  }();
  if (!right) refuse(operand, text("has the wrong type; real is ", dtype_name(real_), ", stat ", dtype_name(stat_)));
}

void OpCall::bind_shape(const Operand& operand) {
  const auto& shape = operand.declared->shape;
  if (operand.tensor->rank() != std::ssize(shape)) refuse(operand, text("must have rank ", shape.size()));
  for (int i = 0; i < operand.tensor->rank(); ++i) {
    const auto& [letter, times, plus] = shape[static_cast<size_t>(i)];
    const int64_t given = operand.tensor->size(i);
    int64_t expected = times;
    if (letter) {
      int64_t& bound = sizes_[static_cast<size_t>(letter - 'A')];
      if (bound < 0) bound = std::max<int64_t>(given - plus, 0) / times;
      expected = times * bound + plus;
    }
    if (given != expected) refuse(operand, text("must have ", expected, " in dimension ", i));
  }
}

void OpCall::check_aliases() const {
  for (int i = 0; i < operand_count_; ++i) {
    const Operand& written = operands_[static_cast<size_t>(i)];
    if (!writes(written.declared->access)) continue;
    for (int j = 0; j < operand_count_; ++j) {
      const Operand& other = operands_[static_cast<size_t>(j)];
      if (i == j || !overlap(*written.tensor, *other.tensor)) continue;
      const bool allowed = written.alias == &other || other.alias == &written;
      if (!allowed || written.tensor->data() != other.tensor->data())
        refuse(written, "must not share memory with " + other.declared->name);
    }
  }
}

std::string OpCall::shape() const {
  std::string joined;
  const auto append = [&](int64_t size) { joined += text(joined.empty() ? "" : "x", size); };
  if (part_ == Part::product) {
    for (int64_t size : product_)
      if (size > 0) append(size);
    return joined;
  }
  const Tensor* largest = operands_.front().tensor;
  for (int i = 1; i < operand_count_; ++i)
    if (operands_[static_cast<size_t>(i)].tensor->count() > largest->count())
      largest = operands_[static_cast<size_t>(i)].tensor;
  for (int i = 0; i < largest->rank(); ++i) append(largest->size(i));
  return joined;
}

std::vector<OpCall::Moved> OpCall::moved(double live_share) const {
  std::vector<Moved> moved;
  for (int i = 0; i < operand_count_; ++i) {
    const Operand& operand = operands_[static_cast<size_t>(i)];
    const auto bytes = static_cast<double>(operand.tensor->bytes());
    moved.push_back({operand.tensor, operand.moved * (operand.sorted ? live_share : 1) * bytes});
  }
  return moved;
}

double OpCall::bytes(double live_share) const {
  double sum = 0;
  for (const Moved& operand : moved(live_share)) sum += operand.bytes;
  return sum;
}

double OpCall::value(std::string_view name) const {
  for (size_t i = 0; i < declaration_.values.size(); ++i)
    if (declaration_.values[i] == name) return values_[i];
  GPTMOE_CHECK(false, this->name(), " has no parameter ", name);
}

int64_t OpCall::size(char letter) const {
  const int64_t size = sizes_[static_cast<size_t>(letter - 'A')];
  GPTMOE_CHECK(size >= 0, name(), ": no operand has ", letter);
  return size;
}

void OpCall::bind(char letter, int64_t size) {
  int64_t& bound = sizes_[static_cast<size_t>(letter - 'A')];
  if (bound < 0) bound = size;
  if (bound != size) require(false, text(letter, " = ", size));
}

void OpCall::require(bool condition, std::string_view what) const {
  if (condition) return;
  std::string given;
  for (int i = 0; i < operand_count_; ++i) {
    const Operand& operand = operands_[static_cast<size_t>(i)];
    given += (i ? ", " : "") + operand.declared->name + " " + operand.tensor->describe();
  }
  throw BugError(text(name(), ": not ", what, " for ", given));
}

void OpCall::may_alias(std::string_view written, std::string_view other) {
  Operand& operand = find(written);
  operand.alias = &find(other);
}

void OpCall::product(char rows, char terms, char columns, int count, int times_columns) {
  part_ = Part::product;
  routed_ = rows == 'R';
  product_ = {size(rows), size(terms), times_columns * size(columns), routed_ ? size('E') : 0};
  flops_ = 2.0 * count * static_cast<double>(product_[0]) * static_cast<double>(product_[1]) *
           static_cast<double>(product_[2]);
}

// Each product covers `first` columns and the lower triangle after them: T first + T (T + 1) / 2 scores of D
// multiply-adds per head.
void OpCall::attention(int products, int64_t first) {
  part_ = Part::attention;
  const auto tokens = static_cast<double>(size('T'));
  flops_ = products * 2.0 * static_cast<double>(size('B')) * static_cast<double>(size('H')) *
           static_cast<double>(size('D')) * tokens * (static_cast<double>(first) + (tokens + 1) / 2);
}

const OpCall::Operand& OpCall::find(std::string_view name) const {
  for (int i = 0; i < operand_count_; ++i)
    if (operands_[static_cast<size_t>(i)].declared->name == name) return operands_[static_cast<size_t>(i)];
  GPTMOE_CHECK(false, this->name(), " has no operand ", name);
}

void OpCall::refuse(const Operand& operand, const std::string& why) const {
  std::string sizes;
  for (char letter = 'A'; letter <= 'Z'; ++letter)
    if (const int64_t size = sizes_[static_cast<size_t>(letter - 'A')]; size >= 0)
      sizes += text(sizes.empty() ? " (" : ", ", letter, " = ", size);
  throw BugError(text(name(), ": ", operand.declared->name, ", ", operand.tensor->describe(), ", ", why, sizes,
                      sizes.empty() ? "" : ")"));
}

}  // namespace gptmoe
