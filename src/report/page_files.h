#pragma once

namespace gptmoe {

// The texts of chart_style.css, page_style.css and page_script.js, which the build puts into the program. The first is
// all that a chart in a separate file needs.
extern const char* const kChartStyle;
extern const char* const kPageStyle;
extern const char* const kPageScript;

}  // namespace gptmoe
