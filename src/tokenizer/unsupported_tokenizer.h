#pragma once
#include "base/check.h"

namespace gptmoe {

// The tokenizer may be whole, but is of a kind that gptmoe does not know. Other UserErrors of a reader say that a file
// is damaged or cannot be read.
struct UnsupportedTokenizer : UserError {
  using UserError::UserError;
};

}  // namespace gptmoe
