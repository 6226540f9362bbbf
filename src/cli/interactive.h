#pragma once
#include "inference/generate.h"

namespace gptmoe {

// From now on, SIGINT ends the program with exit code 130.
void end_at_interrupt();

// Reads lines from standard input up to its end, and prints the continuation of each while it is made. A line continues
// the text so far: the earlier lines and their continuations, on lines of their own. An empty line starts a new text,
// as does the end-of-text token. The n-th continuation draws with `seed` + n, from n = 0.
void converse(TextCache& cache, const Tokenizer& tokenizer, const ContinueOptions& options, uint64_t seed);

}  // namespace gptmoe
