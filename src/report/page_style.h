#pragma once

namespace gptmoe {

// The style sheet of report.html: one palette as variables, given twice (light, dark); the classes the charts use.
inline constexpr const char* kPageStyle = R"css(
:root {
  color-scheme: light dark;
  --page: #fdfdfc; --ink: #1d2126; --soft: #5d6670; --rule: #e3e5e8; --cell: #f1f2f4; --note: #fbf4e2;
  --under: #3a78b8; --over: #d9722e;
  --c0: #33689f; --c1: #d0632a; --c2: #2c8a66; --c3: #8458b8; --c4: #a8810f; --c5: #bd4377;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171b; --ink: #e7e9ec; --soft: #9aa4af; --rule: #2b3138; --cell: #22272d; --note: #2a2618;
    --under: #4c93d9; --over: #e08340;
    --c0: #7fb2e8; --c1: #f0975f; --c2: #67c9a1; --c3: #bd9bea; --c4: #dcbb4f; --c5: #ec89b3;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 48px 28px 64px; max-width: 1060px; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
}
h1 {
  font-size: 24px; line-height: 1.35; font-weight: 600; letter-spacing: -0.01em; margin: 0 0 14px;
  text-wrap: pretty;
}
h2 { font-size: 17px; font-weight: 600; margin: 52px 0 4px; }
h3 { font-size: 15px; font-weight: 600; margin: 0 0 8px; }
.part { margin-top: 36px; }
p { margin: 0 0 8px; max-width: 76ch; }
.kicker { color: var(--soft); font-size: 13px; margin-bottom: 10px; }
.caption { color: var(--soft); font-size: 13.5px; margin-bottom: 16px; }
.notes { margin: 18px 0 0; padding: 10px 16px 10px 32px; background: var(--note); border-radius: 6px; font-size: 14px; }
.pair {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(min(400px, 100%), 1fr)); gap: 32px 40px;
  margin-top: 12px;
}
figure { margin: 0; min-width: 0; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 12px; fill: var(--soft); }
svg .legend { fill: var(--ink); }
svg .note { paint-order: stroke; stroke: var(--page); stroke-width: 4px; stroke-linejoin: round; }
svg .value { fill: var(--ink); font-size: 11px; }
.grid { stroke: var(--rule); stroke-width: 1; }
.axis { stroke: var(--soft); stroke-width: 1; }
.reference { stroke: var(--soft); stroke-width: 1; stroke-dasharray: 4 4; }
.line, .key { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.dashed { stroke-dasharray: 6 5; }
.band { stroke: none; opacity: 0.18; }
.hint { stroke: none; opacity: 0; }
.hint:hover { opacity: 0.55; }
.cell { fill: var(--cell); }
.under { fill: var(--under); }
.over { fill: var(--over); }
.line.c0, .key.c0 { stroke: var(--c0); } .band.c0, .dot.c0, .hint.c0 { fill: var(--c0); }
.line.c1, .key.c1 { stroke: var(--c1); } .band.c1, .dot.c1, .hint.c1 { fill: var(--c1); }
.line.c2, .key.c2 { stroke: var(--c2); } .band.c2, .dot.c2, .hint.c2 { fill: var(--c2); }
.line.c3, .key.c3 { stroke: var(--c3); } .band.c3, .dot.c3, .hint.c3 { fill: var(--c3); }
.line.c4, .key.c4 { stroke: var(--c4); } .band.c4, .dot.c4, .hint.c4 { fill: var(--c4); }
.line.c5, .key.c5 { stroke: var(--c5); } .band.c5, .dot.c5, .hint.c5 { fill: var(--c5); }
.scroll { overflow-x: auto; }
.wide svg { min-width: 640px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; margin-top: 12px; }
th, td { padding: 6px 28px 6px 0; text-align: left; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 600; }
tbody th { font-weight: 400; color: var(--soft); }
td + td, th + th, td { white-space: nowrap; }
.config td, .config th {
  font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12.5px;
  padding-top: 4px; padding-bottom: 4px;
}
summary { cursor: pointer; color: var(--soft); margin-top: 18px; }
footer { margin-top: 56px; color: var(--soft); font-size: 13px; }
@media print { body { padding: 0; } .hint { display: none; } }
)css";

}  // namespace gptmoe
