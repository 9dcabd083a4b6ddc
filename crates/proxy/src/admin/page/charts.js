// Small drawings of numbers over time, as SVG. Colours come from classes; a chart says in words what it shows.

import { h } from "./dom.js";
import { clock, seconds } from "./words.js";

/// A line without axes, for a row of a table. `values` has `null` where nothing is known.
export function spark(values, { width = 96, height = 22, label = "" } = {}) {
  const known = values.filter((value) => value != null);
  const most = Math.max(...known, 1e-9);
  const step = width / Math.max(values.length - 1, 1);
  const y = (value) => height - 2 - (value / most) * (height - 4);
  return h("svg", { class: "spark", width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    h("path", { class: "spark-line", d: line(values, (place) => place * step, y) }));
}

/// A path through what is known, with gaps where nothing is.
export function line(values, x, y) {
  let path = "";
  let pen = false;
  values.forEach((value, place) => {
    if (value == null) {
      pen = false;
      return;
    }
    path += `${pen ? "L" : "M"}${x(place).toFixed(1)} ${y(value).toFixed(1)}`;
    // One alone would be invisible.
    if (!pen && (place + 1 >= values.length || values[place + 1] == null)) path += "h0.8";
    pen = true;
  });
  return path;
}

/// Filled layers on each other, and lines above them, over one axis of time.
///
/// `layers`: `{ class, values, label }`, stacked in order; `lines`: the same, not stacked. `times`: `[from, to]` in milliseconds
/// since 1970. `format` writes the values of the scale; `at` marks a point in time.
export function chart({ title, layers = [], lines = [], times, format, height = 140, width = 640, at = null, spans = [], least = 0 }) {
  const inner = { left: 52, right: 8, top: 10, bottom: 22 };
  const columns = Math.max(...[...layers, ...lines].map((one) => one.values.length), 1);
  const sums = Array.from({ length: columns }, () => 0);
  const stacked = layers.map((layer) => {
    const low = sums.slice();
    layer.values.forEach((value, place) => (sums[place] += value || 0));
    return { layer, low, high: sums.slice() };
  });
  const all = [...sums, ...lines.flatMap((one) => one.values.filter((value) => value != null))];
  // Some room above, in which the bands of incidents are seen.
  const most = least > 0 ? least : nice(Math.max(...all, 1e-9) * 1.06);
  const x = (place) => inner.left + (place / columns) * (width - inner.left - inner.right);
  const middle = (place) => x(place + 0.5);
  const y = (value) => height - inner.bottom - (value / most) * (height - inner.top - inner.bottom);
  // Of a history that has just begun, the two are one.
  const xt = (time) => inner.left + ((time - times[0]) / Math.max(1, times[1] - times[0])) * (width - inner.left - inner.right);
  // In steps: each value is that of a whole column, and nothing is known of the time between two.
  const edge = (values) => values.map((value, place) => `${x(place).toFixed(1)} ${y(value).toFixed(1)}L${x(place + 1).toFixed(1)} ${y(value).toFixed(1)}`);
  const back = (values) => values.map((value, place) => `${x(place + 1).toFixed(1)} ${y(value).toFixed(1)}L${x(place).toFixed(1)} ${y(value).toFixed(1)}`).reverse();
  const area = ({ low, high }) => `M${edge(high).join("L")}L${back(low).join("L")}Z`;
  return h("figure", { class: "chart" },
    h("figcaption", null, h("span", { class: "chart-title" }, title), legend([...layers, ...lines])),
    h("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": title },
      spans.map((one) => h("rect", { class: `chart-span ${one.class}`, x: xt(Math.max(one.from, times[0])).toFixed(1), y: inner.top,
        width: Math.max(1, xt(Math.min(one.to, times[1])) - xt(Math.max(one.from, times[0]))).toFixed(1), height: height - inner.top - inner.bottom })),
      [0, 0.5, 1].map((share) => h("g", null,
        h("line", { class: "chart-grid", x1: inner.left, x2: width - inner.right, y1: y(most * share), y2: y(most * share) }),
        h("text", { class: "chart-scale", x: inner.left - 6, y: y(most * share) + 3.5, "text-anchor": "end" }, format(most * share)))),
      ticks(times).map((time) => h("text", { class: "chart-scale", x: xt(time).toFixed(1), y: height - 6, "text-anchor": "middle" }, tick(time, times))),
      stacked.map((one) => h("path", { class: `chart-area ${one.layer.class}`, d: area(one) })),
      lines.map((one) => h("path", { class: `chart-line ${one.class}`, d: line(one.values, middle, y) })),
      at == null || at < times[0] || at > times[1] ? null :
        h("line", { class: "chart-at", x1: xt(at).toFixed(1), x2: xt(at).toFixed(1), y1: inner.top, y2: height - inner.bottom })));
}

function legend(series) {
  return h("span", { class: "legend" }, series.filter((one) => one.label).map((one) =>
    h("span", { class: "legend-item" }, h("span", { class: `swatch ${one.class}`, "aria-hidden": "true" }), one.label)));
}

/// The least "round" number that isn't below.
export function nice(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 2.5, 5, 10].map((step) => step * power).find((step) => step >= most * 0.999) || most;
}

/// Round times of day within a span: about five.
export function ticks([from, to], about = 5) {
  const steps = [2e3, 5e3, 10e3, 30e3, 60e3, 120e3, 300e3, 600e3, 900e3, 1800e3, 3600e3];
  const step = steps.find((one) => (to - from) / one <= about + 1) || 3600e3;
  const all = [];
  for (let time = Math.ceil((from + step * 0.2) / step) * step; time < to - step * 0.2; time += step) all.push(time);
  return all;
}

/// Whether marks of such a span are told to the second.
export function showsSeconds([from, to]) {
  return to - from < 300_000;
}

/// The words of a mark: with seconds where a few minutes are shown.
export function tick(time, span) {
  return showsSeconds(span) ? seconds(time) : clock(time);
}

/// How full something is.
export function meter(share, { class: kind = "", label }) {
  const part = Math.min(1, Math.max(0, share || 0));
  return h("span", { class: `meter ${kind}`, role: "img", "aria-label": label },
    h("span", { class: "meter-fill", style: { width: `${(part * 100).toFixed(1)}%` } }));
}
