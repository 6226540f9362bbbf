#pragma once
// The declarations of kernels/ops.inc as data, parsed from their own text.
//
// An operand is declared as a word and a name: "OptionalInStat bias_E".
//   Word: up to three parts, in this order.
//     Optional, if the tensor may be absent.
//     Its use: Out (overwritten), Add (added to), Update (read and overwritten), Scratch (contents are undefined before
//     and after) or In (read).
//     Its type: Stat, Float (real or stat), I32, I64, U8 or Any; without this part, real.
//   Name: the shape follows the last underscore, one letter per dimension. "2F" is two times F; "E1" is E + 1; any
//   other digit at the end, or a digit alone, is a separate dimension ("N2" has N rows of 2, "_1" one element). A
//   name without such a part declares any shape.
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "base/tensor.h"

namespace gptmoe {

enum class OpId {
#define OP(name, ...) name,
#include "kernels/ops.inc"
  count
};

enum class Access { out, add, update, scratch, in };
enum class ElementType { real, stat, real_or_stat, i32, i64, u8, any };

struct OperandDeclaration {
  std::string name;  // without its letters: "bias"
  bool optional = false;
  Access access = Access::in;
  ElementType type = ElementType::real;
  struct Dimension {
    char letter = 0;  // 0: the size is the number `times`
    int64_t times = 1, plus = 0;
  };
  bool any_shape = false;
  std::vector<Dimension> shape;
};

struct OpDeclaration {
  std::string name;
  std::vector<OperandDeclaration> operands;  // tensors, in order
  std::vector<std::string> values;           // other parameters, in order
};

// Throws BugError if a declaration does not follow the rules above.
const OpDeclaration& op_declaration(OpId op);
OpDeclaration parse_declaration(std::string_view name, std::string_view parameters);

}  // namespace gptmoe
