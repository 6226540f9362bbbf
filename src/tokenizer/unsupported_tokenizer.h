#pragma once
#include "base/check.h"

namespace gptmoe {

// The tokenizer may be intact, but is of a kind that gptmoe does not support. Readers throw other UserErrors for files
// that are damaged or cannot be read.
struct UnsupportedTokenizer : UserError {
  using UserError::UserError;
};

}  // namespace gptmoe
