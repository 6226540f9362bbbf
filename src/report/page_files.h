#pragma once

namespace gptmoe {

// The texts of chart_style.css, page_style.css, chart_drawing.js and page_script.js, which the build puts into the
// program. A chart in a separate file needs only kChartStyle. The page's script is kChartDrawing followed by
// kPageScript.
extern const char* const kChartStyle;
extern const char* const kPageStyle;
extern const char* const kChartDrawing;
extern const char* const kPageScript;

}  // namespace gptmoe
