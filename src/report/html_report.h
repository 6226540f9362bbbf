#pragma once
#include <string>

#include "report/comparison.h"
#include "report/sweep.h"

namespace gptmoe {

// The whole report as one HTML document without scripts, external fonts or external images; light or dark as the
// reader's system asks. It opens with the answer in one sentence. A report on a single arm has no comparison.
// Browsers load the page again every `refresh_seconds`; 0: never. Throws UserError if an analysis.json of the runs is
// malformed.
std::string html_report(const Comparison& comparison, const Sweep* sweep = nullptr, int64_t refresh_seconds = 0);

}  // namespace gptmoe
