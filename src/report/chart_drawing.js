// Draws charts from their numbers, with the shape and the classes that svg_chart.cpp gives them. Depends on the format
// of the data (PageCharts::data), but not on the page or on the reader's choices.
const drawing = (() => {
  'use strict';
  const kFont = 12, kRow = 20, kLetter = 0.58 * kFont;

  const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => '&#' + c.charCodeAt(0) + ';');
  const known = (value) => value !== null && Number.isFinite(value);
  const digits = (value) => String(Number(value.toPrecision(6))).replace('-', '−');
  // The tolerance ensures that rounding does not exclude an end of the range.
  const within = (value, low, high) => value >= low - 1e-9 * (high - low) && value <= high + 1e-9 * (high - low);
  const short = (text, most = 32) => (text.length > most ? text.slice(0, most - 1) + '…' : text);
  const width = (text) => kLetter * text.length;

  function count(value) {
    for (const [unit, name] of [[1e12, ' T'], [1e9, ' G'], [1e6, ' M'], [1e3, ' k']])
      if (Math.abs(value) >= unit) return String(Number((value / unit).toPrecision(4))) + name;
    return String(Number(value.toPrecision(6)));
  }

  // The position of the axes in pixels, their ranges, and functions from a value to its position on each axis.
  function frameOf(left, right, top, bottom, x0, x1, y0, y1, xLog, yLog) {
    const scale = (log) => (log ? Math.log : (value) => value);
    const fx = scale(xLog), fy = scale(yLog);
    return {
      left, right, top, bottom, x0, x1, y0, y1,
      x: (value) => left + (fx(value) - fx(x0)) / (fx(x1) - fx(x0)) * (right - left),
      y: (value) => bottom - (fy(value) - fy(y0)) / (fy(y1) - fy(y0)) * (bottom - top),
    };
  }

  function ticks(low, high, log, most) {
    const out = [];
    if (log && high / low >= 5) {
      const decades = Math.log10(high / low), sparse = decades >= 1 && 3 * decades > 2 * most;
      for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; ++power)
        for (const lead of sparse ? [1] : decades < 1 ? [1, 2, 3, 5, 7] : [1, 2, 5]) out.push(lead * 10 ** power);
    } else {
      const rough = (high - low) / most, power = 10 ** Math.floor(Math.log10(rough)), lead = rough / power;
      const step = power * (lead < 1.5 ? 1 : lead < 3.5 ? 2 : lead < 7.5 ? 5 : 10);
      for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; ++k) out.push(k * step);
    }
    return out.filter((value) => within(value, low, high));
  }

  // The lowest and highest number, with room around them where `from` or `to` is not given.
  function range(values, from, to, log, room) {
    let low = Math.min(...values), high = Math.max(...values);
    if (known(from) && !(log && from <= 0)) low = from;
    if (known(to) && !(log && to <= 0)) high = to;
    if (!(high > low)) return log ? [low * 0.9, high * 1.1] : [low - (Math.abs(low) * 0.1 || 1), high + (Math.abs(high) * 0.1 || 1)];
    const lift = log ? (high / low) ** room : room * (high - low);
    if (!known(from)) low = log ? low / lift : low - lift;
    if (!known(to)) high = log ? high * lift : high + lift;
    return [low, high];
  }

  const textAt = (x, y, anchor, text, css = 'tick') =>
    `<text class="${css}" x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escaped(text)}</text>`;
  const lineAt = (css, x1, y1, x2, y2, opacity = 1) =>
    `<line class="${css}" opacity="${opacity}" x1="${x1.toFixed(1)}" y1="${y1.toFixed(1)}" x2="${x2.toFixed(1)}" y2="${y2.toFixed(1)}"/>`;

  const lineClass = (series) => `${series.dashed ? 'dashed ' : series.dotted ? 'dotted ' : ''}c${series.color}`;

  // The y axis's title and the legend. Returns the markup and its height.
  function head(chart, yTitle, wide) {
    const entries = chart.series.map((series, index) => ({series, index})).filter(({series}) => series.label);
    const total = entries.reduce((sum, {series}) => sum + width(short(series.label)) + 34, 0);
    const beside = width(yTitle) + 20 + total <= wide;
    let x = beside ? wide - total + 10 : 0, y = beside ? 14 : 14 + kRow, out = textAt(0, 14, 'start', yTitle, 'title');
    for (const {series, index} of entries) {
      const each = width(short(series.label)) + 34;
      if (!beside && x > 0 && x + each - 10 > wide) x = 0, y += kRow;
      out += `<g class="entry" data-series="${index}">` +
          lineAt(`key ${lineClass(series)}`, x, y - 4, x + 16, y - 4, series.opacity) +
          textAt(x + 21, y, 'start', short(series.label), 'legend') + '</g>';
      x += each;
    }
    return [out, y + 18];
  }

  // Splits a line into stretches of consecutive points that can be drawn.
  function stretches(line, log) {
    const parts = [[]];
    line.x.forEach((x, i) => {
      if (known(x) && known(line.y[i]) && !(log && line.y[i] <= 0)) parts[parts.length - 1].push(i);
      else if (parts[parts.length - 1].length) parts.push([]);
    });
    return parts.filter((part) => part.length);
  }

  function drawLine(line, frame, log) {
    const at = (i, values) => `${frame.x(line.x[i]).toFixed(1)} ${frame.y(values[i]).toFixed(1)}`;
    // Where a point has no limits, the band is as thin as the line.
    const banded = (i) => line.low && known(line.low[i]) && line.low[i] < line.high[i] && !(log && line.low[i] <= 0);
    let out = '';
    for (const part of stretches(line, log)) {
      if (part.some(banded))
        out += `<path class="band c${line.color}" d="M${part.map((i) => at(i, banded(i) ? line.high : line.y)).join('L')}L` +
            `${[...part].reverse().map((i) => at(i, banded(i) ? line.low : line.y)).join('L')}Z"/>`;
      out += `<path class="line ${lineClass(line)}" opacity="${line.opacity}" d="M` +
          `${part.map((i) => at(i, line.y)).join('L')}"/>`;
      if (part.length === 1 || (line.x.length <= 20 && !line.dashed))
        for (const i of part)
          out += `<circle class="dot c${line.color}" opacity="${line.opacity}" r="2.5" cx="${frame.x(line.x[i]).toFixed(1)}"` +
              ` cy="${frame.y(line.y[i]).toFixed(1)}"/>`;
    }
    return out;
  }

  // The label is at the end of the line that has more room.
  function drawReference([value, label], frame, lines, log) {
    const {left, right, bottom} = frame, at = frame.y(value);
    const words = short(label, Math.max(2, Math.floor((right - left - 12) / kLetter))), reach = width(words) + 12;
    let roomLeft = Infinity, roomRight = Infinity;
    for (const line of lines)
      for (const i of stretches(line, log).flat()) {
        const px = frame.x(line.x[i]), distance = Math.abs(frame.y(line.y[i]) - at);
        if (px <= left + reach) roomLeft = Math.min(roomLeft, distance);
        if (px >= right - reach) roomRight = Math.min(roomRight, distance);
      }
    const first = roomLeft >= roomRight;
    return lineAt('reference', left, at, right, at) +
        textAt(first ? left + 6 : right - 6, at + (at + 18 < bottom ? 14 : -6), first ? 'start' : 'end', words, 'note');
  }

  // Draws the chart `id` from `seen`, which view() of page_script.js returns, `wide` pixels wide. The frame is null if
  // nothing is drawn.
  function drawChart(id, seen, wide) {
    const {chart, lines, log} = seen, high = wide > 600 ? Math.max(360, 0.385 * wide) : Math.max(270, 0.75 * wide);
    let [out, top] = head(chart, seen.yTitle, wide);
    const parts = lines.map((line) => stretches(line, log).flat());
    const xs = lines.flatMap((line, l) => parts[l].map((i) => line.x[i]));
    const ys = lines.flatMap((line, l) => parts[l].flatMap((i) => (line.low ? [line.y[i], line.low[i], line.high[i]] : [line.y[i]])))
        .filter((value) => known(value) && !(log && value <= 0));
    let frame = null;
    if (xs.length) {
      const reference = chart.reference && !(log && chart.reference[0] <= 0) ? chart.reference : null;
      if (reference) ys.push(reference[0]);
      const [x0, x1] = range(xs, chart.x.along ? 0 : null, null, chart.x.log, 0);
      const [y0, y1] = range(ys, chart.y.from, chart.y.to, log, 0.06);
      const bottom = high - 42, right = wide - 4;
      const yTicks = ticks(y0, y1, log, Math.max(2, Math.floor((bottom - top) / 44)));
      const left = 8 + Math.max(0, ...yTicks.map((value) => width(digits(value))));
      frame = frameOf(left, right, top, bottom, x0, x1, y0, y1, chart.x.log, log);
      for (const value of yTicks)
        out += lineAt('grid', left, frame.y(value), right, frame.y(value)) + textAt(left - 8, frame.y(value) + 4, 'end', digits(value));
      out += lineAt('axis', left, bottom, right, bottom);
      const own = chart.x.ticks.length && !seen.by ? chart.x.ticks.map(([value]) => value).filter((value) => within(value, x0, x1)) : null;
      let free = 0;
      for (const value of own || ticks(x0, x1, chart.x.log, Math.max(2, Math.floor((right - left) / 70)))) {
        const text = seen.xText(value), half = 0.5 * width(text), at = Math.min(frame.x(value), wide - half);
        out += lineAt('axis', frame.x(value), bottom, frame.x(value), bottom + 4);
        if (at - half < free) continue;
        out += textAt(at, bottom + 18, 'middle', text);
        free = at + half + 6;
      }
      out += textAt(right, bottom + 36, 'end', seen.title, 'title');
      if (reference && reference[0] >= y0 && reference[0] <= y1)
        out += drawReference(reference, frame, lines, log);
      out += `<clipPath id="drawn-${id}"><rect x="${left}" y="${top - 3}" width="${right - left + 3}" height="${bottom - top + 6}"/>` +
          `</clipPath><g clip-path="url(#drawn-${id})">${lines.map((line) => drawLine(line, frame, log)).join('')}</g>`;
    } else {
      out += textAt(0.5 * wide, 0.5 * high, 'middle', 'nothing to show', 'note');
    }
    return {width: wide, height: high, frame, marks: out};
  }

  return {drawChart, frameOf, lineAt, lineClass, escaped, known, digits, within, short, count};
})();
