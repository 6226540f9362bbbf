#pragma once
#include <string>

#include "report/comparison.h"
#include "report/sweep.h"

namespace gptmoe {

// The whole report as one HTML document without external scripts, fonts or images; in light or dark colours, whichever
// the reader's system asks for. The report opens with the answer in one sentence. A report on a single arm has no
// comparison. The markup alone shows everything; the page's script (page_script.js) makes the charts interactive. Equal
// runs give equal bytes. Browsers reload the page every `refresh_seconds`; 0: never. Throws UserError if an
// analysis.json of the runs is malformed.
std::string html_report(const Comparison& comparison, const Sweep* sweep = nullptr, int64_t refresh_seconds = 0);

}  // namespace gptmoe
