#pragma once
// The charts of a report as files of their own, for a page that is not ours.
#include <filesystem>
#include <string>
#include <vector>

#include "report/comparison.h"
#include "report/sweep.h"

namespace gptmoe {

// An <svg> element with the page's style within, a background, and a name space.
std::string standalone_svg(std::string svg);

// Writes DIR/perplexity.svg, gap.svg, gap_by_steps.svg, load_ARM.svg, entropy_ARM.svg and, of a sweep, sweep.svg and
// curves_CONFIG.svg, those that have something to show; each brings its style, light or dark as the reader's system
// asks. Slashes of a label become dashes, and a number follows where two labels come to one name. Returns what it
// wrote. Throws Failure where it cannot.
std::vector<std::filesystem::path> write_svg_files(const std::filesystem::path& dir, const Comparison& comparison,
                                                   const Sweep* sweep = nullptr);

}  // namespace gptmoe
