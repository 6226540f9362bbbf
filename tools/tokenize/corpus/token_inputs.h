#pragma once
// The files of token ids that the inputs on a command line name.
#include <string>
#include <vector>

namespace gptmoe {

// Files in the order given; what a pattern matches is sorted by name. An .idx stands for the .bin beside it, and so
// does Megatron's prefix: NAME for NAME.bin if there is no file NAME. Both files of such a pair may be named. Throws
// UserError if an input does not exist or is not a regular file, and if a file is named twice, also by links to it.
std::vector<std::string> list_token_files(const std::vector<std::string>& inputs);

}  // namespace gptmoe
