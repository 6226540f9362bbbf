#pragma once
#include <string>

#include "base/dtype.h"

namespace gptmoe {

// Keeps the largest `error` for each op, element type and tolerance. The op is the case's name without its sizes.
void record_error(const std::string& case_name, DType compute, double tolerance, double error);

// Prints the recorded errors as rows of a Markdown table on standard output; prints nothing if none were recorded.
void print_worst_errors();

}  // namespace gptmoe
