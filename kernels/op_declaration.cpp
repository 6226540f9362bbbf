#include "kernels/op_declaration.h"

#include "base/check.h"

namespace gptmoe {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return c >= 'A' && c <= 'Z'; }

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// Reads the word of an operand's declaration. Returns false if `word` does not declare an operand.
bool read_word(std::string_view word, OperandDeclaration& operand) {
  operand.optional = take(word, "Optional");
  if (take(word, "Out"))
    operand.access = Access::out;
  else if (take(word, "Add"))
    operand.access = Access::add;
  else if (take(word, "Update"))
    operand.access = Access::update;
  else if (take(word, "Scratch"))
    operand.access = Access::scratch;
  else if (take(word, "In"))
    operand.access = Access::in;
  else
    return false;
  if (word.empty())
    operand.type = ElementType::real;
  else if (word == "Stat")
    operand.type = ElementType::stat;
  else if (word == "Float")
    operand.type = ElementType::real_or_stat;
  else if (word == "I32")
    operand.type = ElementType::i32;
  else if (word == "I64")
    operand.type = ElementType::i64;
  else if (word == "U8")
    operand.type = ElementType::u8;
  else if (word == "Any")
    operand.type = ElementType::any;
  else
    return false;
  return true;
}

int64_t read_number(std::string_view& text) {
  int64_t number = 0;
  for (; !text.empty() && is_digit(text.front()); text.remove_prefix(1)) number = 10 * number + (text.front() - '0');
  return number;
}

// Reads a shape such as "R2F", "E1", "N2" or "1".
std::vector<OperandDeclaration::Dimension> read_shape(std::string_view letters) {
  std::vector<OperandDeclaration::Dimension> shape;
  while (!letters.empty()) {
    const int64_t number = is_digit(letters.front()) ? read_number(letters) : 0;
    const bool after_letter = !shape.empty() && shape.back().letter != 0;
    if (!letters.empty() && is_letter(letters.front())) {
      shape.push_back({letters.front(), number == 0 ? 1 : number, 0});
      letters.remove_prefix(1);
    } else if (number == 1 && after_letter) {
      shape.back().plus = 1;
    } else {
      GPTMOE_CHECK(number > 0 && letters.empty(), "shape ends in ", letters);
      shape.push_back({0, number, 0});
    }
  }
  return shape;
}

void read_name(std::string_view name, OperandDeclaration& operand) {
  const size_t underscore = name.rfind('_');
  const bool has_shape = underscore != std::string_view::npos && underscore + 1 < name.size() &&
                         (is_letter(name[underscore + 1]) || is_digit(name[underscore + 1]));
  operand.name = name.substr(0, has_shape ? underscore : name.size());
  operand.any_shape = !has_shape;
  if (has_shape) operand.shape = read_shape(name.substr(underscore + 1));
  GPTMOE_CHECK(std::ssize(operand.shape) <= Tensor::kMaxRank, name);
}

}  // namespace

OpDeclaration parse_declaration(std::string_view name, std::string_view parameters) {
  OpDeclaration op;
  op.name = name;
  while (!parameters.empty()) {
    const size_t comma = std::min(parameters.find(','), parameters.size());
    std::string_view parameter = parameters.substr(0, comma);
    parameters.remove_prefix(std::min(comma + 1, parameters.size()));
    while (parameter.starts_with(' ')) parameter.remove_prefix(1);
    const size_t space = parameter.rfind(' ');
    GPTMOE_CHECK(space != std::string_view::npos, name, ": ", parameter);
    OperandDeclaration operand;
    if (read_word(parameter.substr(0, space), operand)) {
      read_name(parameter.substr(space + 1), operand);
      op.operands.push_back(std::move(operand));
    } else {
      op.values.emplace_back(parameter.substr(space + 1));
    }
  }
  return op;
}

const OpDeclaration& op_declaration(OpId op) {
  static const std::vector<OpDeclaration> declarations = {
#define OP(name, ...) parse_declaration(#name, #__VA_ARGS__),
#include "kernels/ops.inc"
  };
  return declarations.at(static_cast<size_t>(op));
}

}  // namespace gptmoe
