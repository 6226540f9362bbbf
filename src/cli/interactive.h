#pragma once
#include "inference/generate.h"

namespace gptmoe {

// Prints a part of a text to standard output, which shows it at once. Throws the Failure of flush_standard_output().
void print_at_once(const std::string& part);

// From now on, SIGINT ends the program with exit code 130.
void end_at_interrupt();

// Reads lines from standard input up to its end, and prints the continuation of each while it is generated. The model
// also sees the text so far: the earlier lines, each followed by its continuation. An empty line starts a new text, and
// so does the end-of-text token. Continuation n (from 0) is sampled with seed `seed` + n.
void converse(TextCache& cache, const Tokenizer& tokenizer, const ContinueOptions& options, uint64_t seed);

}  // namespace gptmoe
