// The last hour at the foot of the page: what was called, what broke, and when; scrolled back by dragging or by keys.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { showsSeconds, tick, ticks } from "./charts.js";
import { incidentsAt, keptSpan, overview } from "./history.js";
import { goTo, place } from "./route.js";
import { saveDialog } from "./save.js";
import { count, seconds, span } from "./words.js";

const WIDTH = 1000;
const HEIGHT = 46;

/// A key moves by a column; with shift by a minute; page keys by five.
const STEP_MS = 10_000;

/// What a label takes with the gap to the next one, in pixels: with seconds and without.
const LABEL = 60;
const SHORT_LABEL = 42;

/// More would say no more.
const MOST_LABELS = 7;

/// Pixels beside the track, on a phone.
const MARGINS = 28;

// Asked for when it changes, since a question at each frame would have the page laid out then.
let width = innerWidth;
addEventListener("resize", () => { width = innerWidth; });

/// The times that are labelled: no more than have room beside each other.
function labels(span) {
  const room = Math.floor((width - MARGINS) / (showsSeconds(span) ? LABEL : SHORT_LABEL));
  return ticks(span, Math.max(2, Math.min(MOST_LABELS, room)) - 1);
}

/// So close to its end, and it is now again.
const NEAR_NOW_MS = 8_000;

export function moveTo(at) {
  const [from, to] = keptSpan();
  const next = at >= to - NEAR_NOW_MS ? null : Math.max(from, Math.round(at));
  if (next !== place.at) {
    goTo(next);
    dispatchEvent(new Event("mainstay-redraw"));
  }
}

export function moveBy(millis) {
  moveTo((place.at || keptSpan()[1]) + millis);
}

/// A moment of an incident in which the columns already show it, and at which it wasn't over.
function within(one) {
  const length = one.ended_unix_ms == null ? Infinity : one.ended_unix_ms - one.began_unix_ms;
  return one.began_unix_ms + Math.min(STEP_MS, length / 2);
}

/// To the begin of the incident before or after what is shown.
export function moveToIncident(direction) {
  const to = keptSpan()[1];
  const here = place.at || to;
  // One that has only begun is what is shown now.
  const begins = incidentsAt(null).map(within).filter((at) => at < to - NEAR_NOW_MS).sort((left, right) => left - right);
  const found = direction < 0 ? begins.filter((at) => at < here - 1000).pop() : begins.find((at) => at > here + 1000);
  if (found) moveTo(found);
  else if (direction > 0) moveTo(Infinity);
}

function keys(event) {
  const steps = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -30, PageUp: 30 };
  if (event.key in steps) moveBy(steps[event.key] * STEP_MS * (event.shiftKey ? 6 : 1));
  else if (event.key === "Home") moveTo(0);
  else if (event.key === "End") moveTo(Infinity);
  else return;
  event.preventDefault();
}

function drag(event) {
  const track = event.currentTarget;
  const move = (one) => {
    const box = track.getBoundingClientRect();
    const [from, to] = keptSpan();
    moveTo(from + Math.min(1, Math.max(0, (one.clientX - box.left) / box.width)) * (to - from));
  };
  if (event.button > 0) return;
  track.setPointerCapture(event.pointerId);
  track.onpointermove = move;
  track.onpointerup = track.onpointercancel = () => {
    track.onpointermove = null;
  };
  move(event);
}

export function timeline(now) {
  const [from, to] = keptSpan();
  const at = place.at || to;
  const share = (time) => Math.min(1, Math.max(0, (time - from) / Math.max(1, to - from)));
  const isPast = place.at != null;
  return h("div", { class: "timeline-in" },
    h("div", { class: "timeline-head" },
      h("h2", { id: "timeline-title" }, `Last ${span(Math.min(to - from, 3_600_000)).replace(/^1 h$/, "hour").replace(/^60 min$/, "hour")}`),
      h("span", { class: "legend num", title: "Each column is ten seconds. What was saved and what failed is little beside all calls: it has a scale of its own" },
        legend("band", "incident"), ...legends()),
      h("span", { class: "grow" }),
      isPast ? h("span", { class: "num strong nowrap" }, seconds(place.at), h("span", { class: "dim" }, `, ${span(now - place.at)} ago`)) : null,
      h("button", { class: "icon plain", title: "Incident before (J)", "aria-label": "Go to the incident before", onclick: () => moveToIncident(-1) }, icon("back")),
      h("button", { class: "icon plain", title: "Incident after (K)", "aria-label": "Go to the incident after", onclick: () => moveToIncident(1) }, icon("next")),
      h("button", { class: "icon plain", title: "Save as one HTML file (S)", "aria-label": "Save as one HTML file", id: "save", onclick: () => saveDialog() }, icon("save"))),
    h("div", {
      class: "track", role: "slider", tabindex: "0", "aria-labelledby": "timeline-title",
      "aria-valuemin": Math.round(from / 1000), "aria-valuemax": Math.round(to / 1000), "aria-valuenow": Math.round(at / 1000),
      "aria-valuetext": isPast ? `${seconds(place.at)}, ${span(now - place.at)} ago` : "now",
      onpointerdown: drag, onkeydown: keys,
    },
      h("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true", memo: [overview.columns, Math.floor(to / STEP_MS), incidentsKey()], body: () => drawing(from, to, share) }),
      h("span", { class: `handle ${isPast ? "past" : ""}`, "aria-hidden": "true", style: { left: `${(share(at) * 100).toFixed(2)}%` } })),
    h("div", { class: "track-scale", "aria-hidden": "true" }, labels([from, to]).map((time) =>
      h("span", { class: "num", style: { left: `${(share(time) * 100).toFixed(2)}%` } }, tick(time, [from, to])))),
    shortLegend(),
    overview.error && !overview.columns ? h("p", { class: "dim" }, overview.error.message) : null);
}

function legend(kind, words) {
  return h("span", { class: "legend-item" }, h("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), words);
}

/// What the tallest columns are: calls on one scale, and what broke on another, since one would hide the other.
function legends() {
  const { calls, broke } = scales();
  const seconds = overview.bucketMs / 1000;
  return [
    legend("calm", `calls: at most ${count(calls)} in ${seconds} s`), legend("blue", "saved"), legend("red", "failed"),
    broke > 0 ? h("span", null, `saved and failed: at most ${count(broke)} in ${seconds} s, on a scale of their own`) : null,
  ];
}

/// The same in the width of a phone, which has no room for it beside the title.
function shortLegend() {
  const { calls, broke } = scales();
  return h("p", { class: "track-note num" }, legend("calm", `calls: ${count(calls)}`), legend("blue", "saved"), legend("red", broke > 0 ? `failed, both: ${count(broke)}` : "failed"),
    h("span", null, `in ${overview.bucketMs / 1000} s at most`));
}

function scales() {
  const { columns } = overview;
  if (!columns) return { calls: 0, broke: 0 };
  return {
    calls: Math.max(...columns.calls.map((value) => value || 0), 0),
    broke: Math.max(...columns.calls.map((_, place) => (columns.saved[place] || 0) + (columns.failed[place] || 0)), 0),
  };
}

function incidentsKey() {
  return incidentsAt(null).map((one) => `${one.id}${one.state}`).join();
}

function drawing(from, to, share) {
  const bands = incidentsAt(null).map((one) => {
    const x = share(one.began_unix_ms) * WIDTH;
    return h("rect", { key: one.id, class: `band ${one.calls.failed > 0 ? "bad" : ""}`, x: x.toFixed(1), y: 0, height: HEIGHT, width: Math.max(3, share(one.ended_unix_ms || to) * WIDTH - x).toFixed(1) });
  });
  const { columns } = overview;
  if (!columns) return h("g", null, bands);
  const { calls, broke } = scales();
  const most = Math.max(calls, 1);
  // What broke is little beside all calls, and it is what is looked for: it has a scale of its own. One alone isn't as tall as the
  // page; a hundredth of the calls is.
  const mostBroke = Math.max(broke, most / 100, 4);
  const width = (overview.bucketMs / Math.max(1, to - from)) * WIDTH;
  const x = (place) => ((overview.from + place * overview.bucketMs - from) / Math.max(1, to - from)) * WIDTH;
  const height = (value) => (value / most) * (HEIGHT * 0.42);
  let area = "";
  columns.calls.forEach((value, place) => {
    if (value == null) return;
    const whole = wholeColumn(columns.calls, place, overview.seen - overview.from - place * overview.bucketMs);
    area += `M${x(place).toFixed(1)} ${HEIGHT}v${(-Math.min(HEIGHT, height(whole))).toFixed(1)}h${width.toFixed(1)}V${HEIGHT}z`;
  });
  const bars = (values, below) => values.map((value, place) => {
    if (!value) return "";
    const tall = Math.max(2, (value / mostBroke) * (HEIGHT - 4));
    const base = HEIGHT - (below ? Math.max(below[place] ? 2 : 0, ((below[place] || 0) / mostBroke) * (HEIGHT - 4)) : 0);
    return `M${x(place).toFixed(1)} ${base.toFixed(1)}v${(-tall).toFixed(1)}h${Math.max(1.2, width - 0.4).toFixed(1)}v${tall.toFixed(1)}z`;
  }).join("");
  return h("g", null, bands,
    h("path", { class: "tl-calls", d: area }),
    h("path", { class: "tl-saved", d: bars(columns.saved, columns.failed) }),
    h("path", { class: "tl-failed", d: bars(columns.failed, null) }));
}

/// So young, a column tells too little: what it has is counted each second.
const YOUNG_MS = 3000;
const COUNTED_MS = 500;

/// The last column isn't full yet: what it would be, or what the one before was.
function wholeColumn(calls, place, age) {
  if (age >= overview.bucketMs) return calls[place];
  if (age < YOUNG_MS) return place > 0 ? calls[place - 1] || 0 : calls[place];
  return (calls[place] * overview.bucketMs) / (age - COUNTED_MS);
}

/// What the timeline shows, in words.
export function spoken() {
  const { columns } = overview;
  if (!columns) return "";
  const sum = (values) => values.reduce((total, value) => total + (value || 0), 0);
  return `${count(sum(columns.calls))} calls, ${count(sum(columns.saved))} saved, ${count(sum(columns.failed))} failed`;
}
