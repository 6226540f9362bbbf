// What a reader can do with the charts of report.html: point at a chart for all its values, choose the x axis, smooth,
// switch between log and linear, hide lines by their legend, and save what is shown as CSV. A chart keeps the picture
// of the markup until one of these changes it; then it is drawn here, with the same classes, as wide as its figure.
(() => {
  'use strict';
  const page = JSON.parse(document.getElementById('chart-data').textContent);
  const figures = [...document.querySelectorAll('figure[data-chart]')];
  const kFont = 12, kRow = 20, kLetter = 0.58 * kFont;
  const axisNames = {tokens: 'training tokens', steps: 'training steps', seconds: 'training time'};
  const timeUnits = [[180, 1, 'seconds'], [3 * 3600, 60, 'minutes'], [Infinity, 3600, 'hours']];

  // The options outlive a reload of the page, which gptmoe report --watch asks for again and again.
  const place = 'gptmoe report ' + location.pathname;
  const options = {along: '', smooth: 1, hidden: [], scale: {}};
  try {
    Object.assign(options, JSON.parse(sessionStorage.getItem(place) || '{}'));
  } catch (error) { /* the browser keeps nothing for this page */ }

  const escaped = (text) => String(text).replace(/[&<>"']/g, (c) => '&#' + c.charCodeAt(0) + ';');
  const known = (value) => value !== null && Number.isFinite(value);
  const digits = (value) => String(Number(value.toPrecision(6))).replace('-', '−');
  // With a slack, so that rounding does not drop an end.
  const within = (value, low, high) => value >= low - 1e-9 * (high - low) && value <= high + 1e-9 * (high - low);
  const short = (text, most = 32) => (text.length > most ? text.slice(0, most - 1) + '…' : text);
  const width = (text) => kLetter * text.length;

  function count(value) {
    for (const [unit, name] of [[1e12, ' T'], [1e9, ' B'], [1e6, ' M'], [1e3, ' k']])
      if (Math.abs(value) >= unit) return String(Number((value / unit).toPrecision(4))) + name;
    return String(Number(value.toPrecision(6)));
  }

  // ---- What a chart shows under the options ----

  // The quantity on the x axis; '' for the chart's own x.
  function along(chart) {
    const wanted = options.along;
    if (!wanted || !chart.x.along || wanted === chart.x.along) return '';
    return chart.series.some((series) => series[wanted] !== null) ? wanted : '';
  }

  const column = (index) => (index === null ? null : page.columns[index]);
  const isLog = (id) => (id in options.scale ? options.scale[id] : page.charts[id].y.log);

  // The mean of the `size` values around each, of fewer near the ends, as many before it as after it. Unknown values
  // stay unknown.
  function smoothed(values, size) {
    return values.map((value, i) => {
      if (!known(value)) return value;
      const reach = Math.min((size - 1) / 2, i, values.length - 1 - i);
      const near = values.slice(i - reach, i + reach + 1).filter(known);
      return Number((near.reduce((sum, each) => sum + each, 0) / near.length).toPrecision(6));
    });
  }

  function view(id) {
    const chart = page.charts[id], by = along(chart);
    const smooth = chart.x.along ? options.smooth : 1;
    let unit = 1, title = by ? axisNames[by] : chart.x.title;
    if (by === 'seconds') {
      const longest = Math.max(0, ...chart.series.flatMap((series) => column(series.seconds) || []).filter(known));
      const [, seconds, name] = timeUnits.find(([limit]) => longest < limit);
      unit = seconds;
      title += ', ' + name;
    }
    const lines = chart.series.map((series, index) => {
      const x = column(by ? series[by] : series.x), y = column(series.y);
      if (!x || !y || options.hidden.includes(series.name)) return null;
      const band = series.low !== null && smooth === 1;
      return {
        ...series, index, x: x.map((value) => (known(value) ? value / unit : value)),
        y: smooth === 1 ? y : smoothed(y, smooth), low: band ? column(series.low) : null,
        high: band ? column(series.high) : null,
      };
    }).filter((line) => line !== null);
    const tokens = (by || chart.x.along) === 'tokens';
    const xText = (value) => {
      const tick = chart.x.ticks.find(([at]) => at === value);
      return tick && !by ? tick[1] : tokens ? count(value) : digits(value);
    };
    const positive = lines.every((line) => line.y.every((value) => !known(value) || value > 0));
    const log = isLog(id) && positive, quantity = chart.y.title.replace(' (log scale)', '');
    return {chart, by, title, lines, xText, positive, log, quantity, yTitle: quantity + (log ? ' (log scale)' : '')};
  }

  function isChanged(id) {
    const chart = page.charts[id];
    return along(chart) !== '' || (chart.x.along !== '' && options.smooth > 1) || isLog(id) !== chart.y.log ||
        chart.series.some((series) => options.hidden.includes(series.name));
  }

  // ---- Drawing ----

  function frameOf(left, right, top, bottom, x0, x1, y0, y1, xLog, yLog) {
    const scale = (log) => (log ? Math.log : (value) => value);
    const fx = scale(xLog), fy = scale(yLog);
    const share = (px) => fx(x0) + (px - left) / (right - left) * (fx(x1) - fx(x0));
    return {
      left, right, top, bottom, x0, x1, y0, y1,
      x: (value) => left + (fx(value) - fx(x0)) / (fx(x1) - fx(x0)) * (right - left),
      y: (value) => bottom - (fy(value) - fy(y0)) / (fy(y1) - fy(y0)) * (bottom - top),
      valueAt: (px) => (xLog ? Math.exp(share(px)) : share(px)),
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
          lineAt(`key ${series.dashed ? 'dashed ' : ''}c${series.color}`, x, y - 4, x + 16, y - 4, series.opacity) +
          textAt(x + 21, y, 'start', short(series.label), 'legend') + '</g>';
      x += each;
    }
    return [out, y + 18];
  }

  // Runs of points that can be drawn.
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
      out += `<path class="line ${line.dashed ? 'dashed ' : ''}c${line.color}" opacity="${line.opacity}" d="M` +
          `${part.map((i) => at(i, line.y)).join('L')}"/>`;
      if (part.length === 1 || (line.x.length <= 20 && !line.dashed))
        for (const i of part)
          out += `<circle class="dot c${line.color}" opacity="${line.opacity}" r="2.5" cx="${frame.x(line.x[i]).toFixed(1)}"` +
              ` cy="${frame.y(line.y[i]).toFixed(1)}"/>`;
    }
    return out;
  }

  // The label is at whichever end of the line has more room.
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

  function draw(figure) {
    const id = figure.dataset.chart, seen = view(id), {chart, lines, log} = seen;
    const wide = Math.max(240, figure.clientWidth), high = wide > 600 ? Math.max(360, 0.385 * wide) : Math.max(270, 0.75 * wide);
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
    const box = document.createElement('div');
    box.className = 'drawn';
    box.innerHTML = `<svg viewBox="0 0 ${wide} ${high}" role="img" aria-label="${escaped(chart.description)}">${out}</svg>`;
    box.firstChild.frame = frame;
    return box;
  }

  function update(figure) {
    const id = figure.dataset.chart, changed = isChanged(id), seen = view(id);
    const focused = figure.contains(document.activeElement) && document.activeElement.closest('.entry');
    leave(figure);
    figure.querySelector('.drawn')?.remove();
    figure.classList.toggle('redrawn', changed);
    if (changed) figure.append(draw(figure));
    const scale = figure.querySelector('.scale');
    scale.hidden = !seen.positive || !seen.lines.length;
    scale.textContent = isLog(id) ? 'linear' : 'log';
    scale.setAttribute('aria-label', `${isLog(id) ? 'linear' : 'logarithmic'} axis: ${page.charts[id].description}`);
    for (const entry of figure.querySelectorAll('.entry')) {
      const off = options.hidden.includes(page.charts[id].series[entry.dataset.series].name);
      entry.classList.toggle('off', off);
      for (const [name, value] of [['role', 'button'], ['tabindex', 0], ['aria-pressed', !off]]) entry.setAttribute(name, value);
    }
    // The entry that has the focus may now be hidden or gone; the shown picture has the same one.
    if (focused)
      pictureOf(figure)?.querySelector(`.entry[data-series="${focused.dataset.series}"]`)?.focus({preventScroll: true});
  }

  // ---- Pointing ----

  function leave(figure) {
    for (const old of figure.querySelectorAll('.values, .pointer')) old.remove();
  }

  const pictureOf = (figure) => [...figure.querySelectorAll('svg')].find((svg) => svg.getClientRects().length);

  function frameIn(svg, id) {
    if (svg.frame !== undefined) return svg.frame;
    if (!svg.dataset.frame) return null;
    const chart = page.charts[id];
    return frameOf(...svg.dataset.frame.split(' ').map(Number), chart.x.log, chart.y.log);
  }

  // The line's value at x, between two points if none is there; null outside of its points.
  function valueAt(line, x) {
    const exact = line.x.indexOf(x);
    if (exact >= 0) return {y: line.y[exact], low: line.low?.[exact], high: line.high?.[exact], between: false};
    const next = line.x.findIndex((value) => value > x);
    if (next < 1) return null;
    const share = (x - line.x[next - 1]) / (line.x[next] - line.x[next - 1]), before = line.y[next - 1], after = line.y[next];
    return known(before) && known(after) ? {y: before + share * (after - before), between: true} : null;
  }

  function valueText(value) {
    if (!value || !known(value.y)) return '—';
    const brief = (number) => String(Number(number.toPrecision(5))).replace('-', '−');
    const band = known(value.low ?? null) && value.low < value.high ? ` (${brief(value.low)} to ${brief(value.high)})` : '';
    return (value.between ? '≈ ' : '') + brief(value.y) + band;
  }

  function point(figure, event) {
    leave(figure);
    const svg = pictureOf(figure), frame = svg && frameIn(svg, figure.dataset.chart);
    if (!frame) return;
    const area = svg.getBoundingClientRect(), scale = area.width / svg.viewBox.baseVal.width;
    const px = (event.clientX - area.left) / scale, py = (event.clientY - area.top) / scale;
    if (px < frame.left - 8 || px > frame.right + 8 || py < frame.top - 8 || py > frame.bottom + 30) return;
    const {lines, xText, title} = view(figure.dataset.chart);
    let x = null;
    for (const value of lines.flatMap((line) => line.x))
      if (known(value) && within(value, frame.x0, frame.x1) &&
          (x === null || Math.abs(frame.x(value) - px) < Math.abs(frame.x(x) - px))) x = value;
    if (x === null) return;
    const rows = lines.map((line) => ({line, value: valueAt(line, x)})).filter(({value}) => value);
    const marks = document.createElementNS(svg.namespaceURI, 'g');
    marks.setAttribute('class', 'pointer');
    marks.innerHTML = lineAt('cursor', frame.x(x), frame.top, frame.x(x), frame.bottom) + rows
        .filter(({value}) => known(value.y) && value.y >= Math.min(frame.y0, frame.y1) && value.y <= Math.max(frame.y0, frame.y1))
        .map(({line, value}) => `<circle class="dot mark c${line.color}" r="4" cx="${frame.x(x)}" cy="${frame.y(value.y)}"/>`).join('');
    svg.append(marks);
    const box = document.createElement('div');
    box.className = 'values';
    box.innerHTML = `<div>${escaped(xText(x))} <small>${escaped(title)}</small></div><table>${rows.map(({line, value}) =>
      `<tr><td><svg viewBox="0 0 12 8" style="width:12px;display:inline"><line class="key c${line.color}" x1="1" x2="11" y1="4" y2="4"` +
      ` opacity="${line.opacity}"/></svg> ${escaped(short(line.name))}</td><td>${escaped(valueText(value))}</td></tr>`).join('')}</table>`;
    figure.append(box);
    const of = figure.getBoundingClientRect(), at = area.left - of.left + frame.x(x) * scale, size = box.offsetWidth;
    box.style.left = Math.max(0, at + 14 + size <= of.width ? at + 14 : at - 14 - size >= 0 ? at - 14 - size : of.width - size) + 'px';
    box.style.top = area.top - of.top + frame.top * scale + 4 + 'px';
  }

  // ---- What a reader presses ----

  function apply() {
    try {
      sessionStorage.setItem(place, JSON.stringify(options));
    } catch (error) { /* the options then end with this page */ }
    figures.forEach(update);
    bar.classList.toggle('changed', figures.some((figure) => isChanged(figure.dataset.chart)));
  }

  function save(id) {
    const {lines, title, quantity} = view(id), cell = (text) => (/[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
    const band = lines.some((line) => line.low);
    const rows = [['line', title, quantity, ...(band ? ['low', 'high'] : [])]];
    for (const line of lines)
      line.x.forEach((x, i) => {
        if (known(x)) rows.push([line.name, x, line.y[i] ?? '', ...(band ? [line.low?.[i] ?? '', line.high?.[i] ?? ''] : [])]);
      });
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([rows.map((row) => row.map((each) => cell(String(each))).join(',') + '\n').join('')], {type: 'text/csv'}));
    link.download = id + '.csv';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  function toggle(figure, entry) {
    const {name} = page.charts[figure.dataset.chart].series[entry.dataset.series];
    options.hidden = options.hidden.includes(name) ? options.hidden.filter((each) => each !== name) : [...options.hidden, name];
    apply();
  }

  const bar = document.createElement('div');
  bar.className = 'options';
  const choice = (name, values) => `<label>${name} <select>${values.map(([value, text]) =>
    `<option value="${value}">${text}</option>`).join('')}</select></label>`;
  bar.innerHTML = choice('x axis', [['', 'as drawn'], ['tokens', 'tokens'], ['steps', 'steps'], ['seconds', 'time']]) +
      choice('smoothing', [[1, 'none'], [3, '3 points'], [7, '7 points'], [15, '15 points']]) +
      '<button type="button">reset</button><span>Click a name in a legend to hide its line.</span>';
  const [axis, smooth] = bar.querySelectorAll('select');
  axis.onchange = () => { options.along = axis.value; apply(); };
  smooth.onchange = () => { options.smooth = Number(smooth.value); apply(); };
  bar.querySelector('button').onclick = () => {
    Object.assign(options, {along: '', smooth: 1, hidden: [], scale: {}});
    axis.value = '', smooth.value = 1;
    apply();
  };
  axis.value = options.along, smooth.value = options.smooth;
  figures[0]?.closest('main').querySelector('.head').before(bar);

  for (const figure of figures) {
    const id = figure.dataset.chart, tools = document.createElement('div');
    tools.className = 'tools';
    tools.innerHTML = '<button type="button" class="scale" title="scale of the y axis">log</button>' +
        '<button type="button" class="save" title="save the numbers shown">CSV</button>';
    tools.querySelector('.scale').onclick = () => { options.scale[id] = !isLog(id); apply(); };
    tools.querySelector('.save').setAttribute('aria-label', `CSV: ${page.charts[id].description}`);
    tools.querySelector('.save').onclick = () => save(id);
    figure.prepend(tools);
    figure.classList.add('scripted');
    figure.addEventListener('pointermove', (event) => point(figure, event));
    figure.addEventListener('pointerdown', (event) => point(figure, event));
    figure.addEventListener('pointerleave', () => leave(figure));
    figure.addEventListener('click', (event) => {
      const entry = event.target.closest('.entry');
      if (entry) toggle(figure, entry);
    });
    figure.addEventListener('keydown', (event) => {
      const entry = event.target.closest('.entry');
      if (!entry || (event.key !== 'Enter' && event.key !== ' ')) return;
      event.preventDefault();
      toggle(figure, entry);
    });
  }
  window.addEventListener('resize', () => figures.filter((figure) => figure.classList.contains('redrawn')).forEach(update));
  apply();
})();
