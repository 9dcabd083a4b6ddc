// The live feed of broken calls: sampled by the admin address, and what was left out is said.

import { h } from "./dom.js";
import { icon } from "./icons.js";
import { store } from "./store.js";
import { filter, place } from "./route.js";
import { callTable } from "./widgets.js";
import { count, of } from "./words.js";

/// While paused: the rows as they were then.
let paused = null;

export function togglePause() {
  paused = paused ? null : { calls: store.calls, seen: store.callsSeen + store.leftOut };
  redraw();
}

function redraw() {
  dispatchEvent(new Event("mainstay-redraw"));
}

export function feedView({ state, at }) {
  const all = paused ? paused.calls : store.calls;
  const wanted = Object.fromEntries(["upstream", "code", "how", "text"].map((name) => [name, place.query.get(name) || ""]));
  const calls = all.filter((call) => (!at || call.at_unix_ms <= at) && fits(call, wanted));
  // A call that was refused at once has a code and no break: nothing was sent that could have broken.
  const codes = [...new Set(all.flatMap((call) => [call.code, ...call.breaks.map((one) => one.code)]).filter(Boolean))].sort();
  const news = paused ? store.callsSeen + store.leftOut - paused.seen : 0;
  const set = (name) => (event) => { filter({ [name]: event.target.value }); redraw(); };
  return [
    h("div", { class: "title" }, h("h1", null, "Feed"),
      h("p", { class: "quiet" }, "Calls in which something broke, as they end. At most ", String(store.hello ? store.hello.calls_per_s : 50), " a second are shown, the first of each endpoint and code before others. ",
        h("span", { class: "num strong", id: "left-out" }, store.leftOut > 0 ? `${of(store.leftOut, "more was", "more were")} left out since this page was opened.` : "None is left out since this page was opened."))),
    h("div", { class: "bar" },
      at ? null : h("button", { "aria-pressed": String(Boolean(paused)), id: "pause", onclick: togglePause },
        h("span", { class: "with-icon" }, icon(paused ? "play" : "pause"), paused ? `Go on (${count(news)} new)` : "Pause")),
      select("Upstream", wanted.upstream, state.upstreams.map((one) => one.name), set("upstream")),
      select("Code", wanted.code, codes, set("code")),
      select("Outcome", wanted.how, ["saved", "failed"], set("how")),
      h("input", { type: "search", placeholder: "Path, endpoint or id", "aria-label": "Path, endpoint or id", value: wanted.text, oninput: set("text") }),
      h("span", { class: "grow" }),
      h("span", { class: "dim num" }, `${count(calls.length)} of ${count(all.length)} kept here`)),
    callTable({ id: "feed", label: "Broken calls", calls, empty: all.length > 0 ? "No call that is kept here fits the filter." : "Nothing broke that is kept." }),
  ];
}

function fits(call, wanted) {
  if (wanted.upstream && call.upstream !== wanted.upstream) return false;
  if (wanted.code && call.code !== wanted.code && !call.breaks.some((one) => one.code === wanted.code)) return false;
  if (wanted.how === "saved" && (call.failed || !call.saved)) return false;
  if (wanted.how === "failed" && !call.failed) return false;
  const text = wanted.text.toLowerCase();
  return !text || call.id.startsWith(text) || call.path.toLowerCase().includes(text) || call.breaks.some((one) => one.endpoint.toLowerCase().includes(text));
}

export function select(label, value, options, onchange) {
  const known = options.includes(value) || !value ? options : [value, ...options];
  return h("select", { "aria-label": label, onchange, value },
    h("option", { value: "" }, `${label}: all`),
    known.map((option) => h("option", { key: option, value: option, selected: option === value }, option)));
}
