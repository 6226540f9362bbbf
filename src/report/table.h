#pragma once
#include <string>
#include <vector>

#include "report/comparison.h"

namespace gptmoe {

struct SummaryRow {
  std::string name;
  std::vector<std::string> cells;  // one per arm
};

// The numbers of a comparison, quantities down and arms across. Rows that have no value in any arm are left out, such
// as the expert load of dense models, or comparisons if there is only one arm.
std::vector<SummaryRow> summary_rows(const Comparison& comparison);

// The summary rows about perplexity.
std::vector<SummaryRow> perplexity_rows(const Comparison& comparison);

// The headline, the notes, the summary and the perplexities on each validation set for a terminal, at most 100 columns;
// many arms are split into several blocks.
std::string text_report(const Comparison& comparison);

}  // namespace gptmoe
