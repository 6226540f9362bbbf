#pragma once
// The files of token ids that the inputs on a command line name.
#include <string>
#include <vector>

namespace gptmoe {

// Files in the order given; the files that a pattern matches are sorted by name. An .idx file means the .bin file
// beside it. As in Megatron, NAME means NAME.bin if there is no file NAME. Both files of such a pair may be named.
// Throws UserError if an input does not exist or is not a regular file, and if a file is named twice, even through
// links.
std::vector<std::string> list_token_files(const std::vector<std::string>& inputs);

}  // namespace gptmoe
