#pragma once
// The charts of a report as separate files, for other pages.
#include <filesystem>
#include <string>
#include <vector>

#include "report/comparison.h"
#include "report/sweep.h"

namespace gptmoe {

// The <svg> element with an XML namespace, the page's style and a background.
std::string standalone_svg(std::string svg);

// Writes DIR/perplexity.svg, gap.svg, gap_by_steps.svg, load_ARM.svg, entropy_ARM.svg and, for a sweep, sweep.svg and
// curves_CONFIG.svg, except empty ones. Each contains its style, light or dark, whichever the reader's system asks for.
// Slashes of a label become dashes, and equal file names get a number. Returns the written paths. Throws Failure if it
// cannot write.
std::vector<std::filesystem::path> write_svg_files(const std::filesystem::path& dir, const Comparison& comparison,
                                                   const Sweep* sweep = nullptr);

}  // namespace gptmoe
