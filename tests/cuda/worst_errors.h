#pragma once
#include <string>

#include "base/dtype.h"

namespace gptmoe {

// Keeps the largest `error` of each op (the name of a case up to its sizes), element type and tolerance.
void record_error(const std::string& case_name, DType compute, double tolerance, double error);

// What was recorded, as the rows of a Markdown table on standard output; nothing when nothing was.
void print_worst_errors();

}  // namespace gptmoe
