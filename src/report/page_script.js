// Makes the charts of report.html interactive. A reader can read all values at a point with the pointer or the arrow
// keys, choose the x axis, smooth, switch between log and linear, hide lines by their legend, and save the shown values
// as CSV. A chart keeps the picture of the markup until the reader changes what it shows; then it is drawn
// (chart_drawing.js) as wide as its figure.
(() => {
  'use strict';
  const {drawChart, frameOf, lineAt, lineClass, escaped, known, digits, within, short, count} = drawing;
  const page = JSON.parse(document.getElementById('chart-data').textContent);
  const figures = [...document.querySelectorAll('figure[data-chart]')];
  const axisNames = {tokens: 'training tokens', steps: 'training steps', seconds: 'training time'};
  const timeUnits = [[180, 1, 'seconds'], [3 * 3600, 60, 'minutes'], [Infinity, 3600, 'hours']];

  // The options survive reloads of the page, since gptmoe report --watch makes the browser reload it regularly.
  const place = 'gptmoe report ' + location.pathname;
  const options = {along: '', smooth: 1, hidden: [], scale: {}};
  // Whether a stored value can be used: another version of the page may have stored it.
  const fits = {
    along: (value) => ['', ...Object.keys(axisNames)].includes(value),
    smooth: (value) => Number.isInteger(value) && value >= 1,
    hidden: (value) => Array.isArray(value) && value.every((name) => typeof name === 'string'),
    scale: (value) => value !== null && typeof value === 'object' && !Array.isArray(value) &&
        Object.values(value).every((log) => typeof log === 'boolean'),
  };
  try {
    const stored = JSON.parse(sessionStorage.getItem(place)) ?? {};
    for (const key of Object.keys(options))
      if (fits[key](stored[key])) options[key] = stored[key];
  } catch (error) { /* the browser stores nothing for this page */ }

  // ---- What a chart shows under the options ----

  // The quantity on the x axis; '' for the chart's own x.
  function along(chart) {
    const wanted = options.along;
    if (!wanted || !chart.x.along || wanted === chart.x.along) return '';
    return chart.series.some((series) => series[wanted] !== null) ? wanted : '';
  }

  const column = (index) => (index === null ? null : page.columns[index]);
  const isLog = (id) => (id in options.scale ? options.scale[id] : page.charts[id].y.log);

  // For each value, the mean of the `size` values centred on it, or of fewer near the ends. Unknown values stay unknown.
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

  // ---- Showing a chart ----

  function draw(figure) {
    const id = figure.dataset.chart;
    const {width, height, frame, marks} = drawChart(id, view(id), Math.max(240, figure.clientWidth));
    const box = document.createElement('div');
    box.className = 'drawn';
    box.innerHTML = `<svg viewBox="0 0 ${width} ${height}" aria-label="${escaped(page.charts[id].description)}">${marks}</svg>`;
    box.firstChild.frame = frame;
    return box;
  }

  function update(figure) {
    const id = figure.dataset.chart, changed = isChanged(id), seen = view(id);
    const focused = figure.contains(document.activeElement) && document.activeElement.closest('.entry, svg');
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
    for (const svg of figure.querySelectorAll('svg')) {
      const keys = frameIn(svg, id) ? [['role', 'application'], ['tabindex', 0]] : [['role', 'group']];
      for (const [name, value] of [...keys, ['aria-roledescription', 'chart']]) svg.setAttribute(name, value);
    }
    // The element with the focus may now be hidden or gone. Its counterpart in the shown picture gets the focus.
    if (focused) {
      const picture = pictureOf(figure), {series} = focused.dataset;
      (series ? picture?.querySelector(`.entry[data-series="${series}"]`) : picture)?.focus({preventScroll: true});
    }
  }

  // ---- Reading values ----

  function leave(figure) {
    figure.shown = null;  // the x of the values that are shown
    for (const old of figure.querySelectorAll('.values, .pointer')) old.remove();
  }

  const pictureOf = (figure) => [...figure.querySelectorAll('svg')].find((svg) => svg.getClientRects().length);

  function frameIn(svg, id) {
    if (svg.frame !== undefined) return svg.frame;
    if (!svg.dataset.frame) return null;
    const chart = page.charts[id];
    return frameOf(...svg.dataset.frame.split(' ').map(Number), chart.x.log, chart.y.log);
  }

  // The line's value at x, interpolated if no point is there; null outside of the line's range.
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

  // The shown picture, its frame and the x of all points in the frame, ascending; null if there are none.
  function readable(figure) {
    const id = figure.dataset.chart, svg = pictureOf(figure), frame = svg && frameIn(svg, id);
    if (!frame) return null;
    const inside = (x) => known(x) && within(x, frame.x0, frame.x1);
    const all = [...new Set(view(id).lines.flatMap((line) => line.x.filter(inside)))].sort((a, b) => a - b);
    return all.length ? {svg, frame, all} : null;
  }

  const scaleOf = (svg) => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;

  function point(figure, event) {
    const chart = readable(figure);
    leave(figure);
    if (!chart) return;
    const {svg, frame, all} = chart, area = svg.getBoundingClientRect(), scale = scaleOf(svg);
    const px = (event.clientX - area.left) / scale, py = (event.clientY - area.top) / scale;
    if (px < frame.left - 8 || px > frame.right + 8 || py < frame.top - 8 || py > frame.bottom + 30) return;
    const distance = (x) => Math.abs(frame.x(x) - px);
    show(figure, chart, all.reduce((best, x) => (distance(x) < distance(best) ? x : best)));
  }

  // Shows or hides values if `key` is a key for that. Returns whether it is one.
  function press(figure, key) {
    const chart = readable(figure);
    if (!chart) return false;
    const last = chart.all.length - 1, at = chart.all.indexOf(figure.shown);
    const to = {ArrowRight: Math.min(at + 1, last), ArrowLeft: at < 0 ? last : Math.max(at - 1, 0), Home: 0, End: last}[key];
    if (to === undefined && key !== 'Escape') return false;
    leave(figure);
    said.textContent = key === 'Escape' ? '' : show(figure, chart, chart.all[to]);
    return true;
  }

  // Shows the values at x. Returns them as a sentence.
  function show(figure, {svg, frame}, x) {
    figure.shown = x;
    const {lines, xText, title} = view(figure.dataset.chart), area = svg.getBoundingClientRect(), scale = scaleOf(svg);
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
      `<tr><td><svg viewBox="0 0 12 8" style="width:12px;display:inline"><line class="key ${lineClass(line)}" x1="1" x2="11" y1="4" y2="4"` +
      ` opacity="${line.opacity}"/></svg> ${escaped(short(line.name))}</td><td>${escaped(valueText(value))}</td></tr>`).join('')}</table>`;
    figure.append(box);
    const of = figure.getBoundingClientRect(), at = area.left - of.left + frame.x(x) * scale, size = box.offsetWidth;
    box.style.left = Math.max(0, at + 14 + size <= of.width ? at + 14 : at - 14 - size >= 0 ? at - 14 - size : of.width - size) + 'px';
    box.style.top = area.top - of.top + frame.top * scale + 4 + 'px';
    return `${xText(x)} ${title}: ${rows.map(({line, value}) => `${line.name} ${valueText(value)}`).join('; ')}`;
  }

  // ---- What a reader presses ----

  function apply() {
    try {
      sessionStorage.setItem(place, JSON.stringify(options));
    } catch (error) { /* a reload then loses the options */ }
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
      '<button type="button">reset</button><span>Click a name in a legend to hide its line. ← and → show the values of the chart that has the focus.</span>';
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
  // Tells a screen reader what the arrow keys show.
  const said = document.createElement('div');
  said.className = 'said';
  said.setAttribute('aria-live', 'polite');
  document.body.append(said);

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
    // On a touch screen, the pointer leaves after each tap; the values stay until the next tap elsewhere.
    figure.addEventListener('pointerleave', (event) => {
      if (event.pointerType !== 'touch') leave(figure);
    });
    figure.addEventListener('click', (event) => {
      const entry = event.target.closest('.entry');
      if (entry) toggle(figure, entry);
    });
    figure.addEventListener('keydown', (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return;
      const entry = event.target.closest('.entry'), pressed = event.key === 'Enter' || event.key === ' ';
      if (entry && pressed) toggle(figure, entry);
      else if (!event.target.closest('svg') || !press(figure, event.key)) return;
      event.preventDefault();
    });
    figure.addEventListener('focusout', (event) => {
      if (!figure.contains(event.relatedTarget)) leave(figure);
    });
  }
  document.addEventListener('pointerdown', (event) => figures.filter((figure) => !figure.contains(event.target)).forEach(leave));
  window.addEventListener('resize', () => figures.filter((figure) => figure.classList.contains('redrawn')).forEach(update));
  apply();
})();
