// One endpoint: how it is, its last hour, its breaker and connections, what changed, what broke, what can be ordered.

import { h } from "./dom.js";
import { chart } from "./charts.js";
import { waitsForCall } from "./headline.js";
import { incidentsAt, keptSpan } from "./history.js";
import { use } from "./resource.js";
import { LETTERS, kind, state as stateOf } from "./states.js";
import { store } from "./store.js";
import { to } from "./route.js";
import { changeList } from "./changes.js";
import { callTable, code, fact } from "./widgets.js";
import { count, left, ms, of, percent, rate, since, span } from "./words.js";
import { ORDERS, orderDialog } from "./actions.js";
import { connectionTable } from "./connections.js";
import { incidentTable } from "./incidents.js";
import { isNarrow } from "./list.js";
import { why } from "./now.js";

export function endpointView({ state, at, parts: [, upstreamName, name] }) {
  const upstream = state.upstreams.find((one) => one.name === upstreamName);
  const endpoint = upstream && upstream.endpoints.find((one) => one.name === name);
  if (!endpoint) return h("div", { class: "card empty", role: "alert" }, h("strong", null, `There is no endpoint ${name} of ${upstreamName}`), "It may have left the settings.");
  const path = `/timeline?upstream=${encodeURIComponent(upstreamName)}&endpoint=${encodeURIComponent(name)}`;
  const history = use(path, 10_000);
  const incidents = incidentsAt(at).filter((one) => one.upstream === upstreamName && one.endpoint === name);
  const calls = store.calls.filter((call) => call.upstream === upstreamName && call.breaks.some((one) => one.endpoint === name) && (!at || call.at_unix_ms <= at));
  const changes = [...store.changes.values()].filter((one) => one.upstream === upstreamName && one.endpoint === name && (!at || one.at_unix_ms <= at)).reverse();
  return [
    h("div", { class: "title" },
      h("p", { class: "crumb" }, h("a", { href: to() }, "Now"), " / ", upstreamName),
      h("div", { class: "bar" },
        h("h1", null, name), stateOf(endpoint.state),
        endpoint.since_unix_ms ? h("span", { class: "dim num" }, "for ", span(state.now_unix_ms - endpoint.since_unix_ms)) : null,
        h("span", { class: "grow" }),
        at ? null : Object.keys(ORDERS).map((order) =>
          h("button", { "aria-pressed": String(endpoint.ordered === order), "data-order": order, title: ORDERS[order].title, onclick: () => orderDialog(upstreamName, name, order) }, ORDERS[order].button)))),
    figures(state, endpoint, at),
    charts(history, incidents, at),
    h("div", { class: "two" },
      h("section", { "aria-labelledby": "standing" }, h("header", null, h("h2", { id: "standing" }, "How it stands")), standing(state, endpoint)),
      h("section", { "aria-labelledby": "changed" }, h("header", null, h("h2", { id: "changed" }, "What changed")),
        changeList(changes, { withUpstream: false, most: 30, empty: "Nothing changed in the last hour." }))),
    incidents.length > 0 ? h("section", { "aria-labelledby": "its-incidents" }, h("header", null, h("h2", { id: "its-incidents" }, "Incidents")), incidentTable(incidents, state.now_unix_ms)) : null,
    h("section", { "aria-labelledby": "its-breaks" }, h("header", null, h("h2", { id: "its-breaks" }, "Last breaks there")),
      callTable({ id: "endpoint-calls", label: "Last breaks there", calls: calls.slice(0, 12), empty: "None of them is kept here." })),
    at ? null : h("section", { "aria-labelledby": "its-connections" }, h("header", null, h("h2", { id: "its-connections" }, "Connections")),
      connectionTable(`/connections?upstream=${encodeURIComponent(upstreamName)}&endpoint=${encodeURIComponent(name)}`, "endpoint-connections")),
  ];
}

function figures(state, one, at) {
  const figure = (name, value, note, tone = "") => h("div", { class: "figure" }, h("dt", null, name), h("dd", { class: tone }, value, note ? h("div", { class: "note" }, note) : null));
  const bad = one.minute.success != null && one.minute.success < 0.99;
  const breaks = Object.entries(one.minute.breaks || {}).sort((a, b) => b[1] - a[1]);
  return h("dl", { class: "figures" },
    figure("Attempts", rate(one.last_s && one.last_s.attempts), `${count(one.minute.attempts)} in a minute`),
    figure("Answered well", percent(one.minute.success), "of those of a minute", bad ? "bad" : ""),
    figure("Broke", count(one.minute.broke), breaks.length > 0 ? breaks.slice(0, 2).map(([name, number]) => `${name} ${count(number)}`).join(", ") : "in a minute", bad ? "bad" : ""),
    figure("Latency p50", ms(one.latency.p50_ms), `p99 ${ms(one.latency.p99_ms)}`),
    figure("In flight", one.in_flight == null ? "–" : count(one.in_flight), at ? null : `tier ${one.tier}, weight ${one.weight}`));
}

function charts(history, incidents, at) {
  const doc = history.data;
  const one = doc && doc.upstreams[0] && doc.upstreams[0].endpoints && doc.upstreams[0].endpoints[0];
  if (!one) return h("div", { class: "card empty" }, history.error ? history.error.message : "Loading its last hour");
  return h("section", { class: "card pad stack", "aria-label": "The last hour" }, endpointCharts(doc, one, incidents, at));
}

/// The drawings of an endpoint's history; the saved file has them too.
export function endpointCharts(doc, one, incidents, at, span = null) {
  const all = span || [Math.max(doc.from_unix_ms, keptSpan()[0]), doc.to_unix_ms];
  const first = Math.max(0, Math.round((all[0] - doc.from_unix_ms) / doc.bucket_ms));
  const last = Math.min(doc.buckets, Math.round((all[1] - doc.from_unix_ms) / doc.bucket_ms));
  const cut = (list) => (list || []).slice(first, last);
  const times = [doc.from_unix_ms + first * doc.bucket_ms, doc.from_unix_ms + last * doc.bucket_ms];
  const width = isNarrow() && !span ? 344 : 620;
  const spans = incidents.map((incident) => ({ from: incident.began_unix_ms, to: incident.ended_unix_ms || at || times[1], class: "bad" }));
  const seconds = doc.bucket_ms / 1000;
  const per = (list) => cut(list).map((value) => (value == null ? null : value / seconds));
  const good = one.attempts && one.attempts.map((value, place) => (value == null ? null : value - (one.broke[place] || 0)));
  return [
    h("div", { class: "two charts" },
      chart({ title: "Attempts a second", times, width, spans, at, format: (value) => shortRate(value),
        layers: [{ class: "calm", values: per(good), label: "answered" }, { class: "red", values: per(one.broke), label: "broke" }] }),
      chart({ title: "Latency", times, width, spans, at, format: ms,
        lines: [{ class: "faint", values: cut(one.p99_ms), label: "p99" }, { class: "ink", values: cut(one.p50_ms), label: "p50" }] })),
    strip(one, times, first, last),
  ];
}

function shortRate(value) {
  return value >= 10 ? value.toFixed(0) : value.toFixed(1).replace(/\.0$/, "");
}

/// Its state over time, as a strip; told in words too.
function strip(one, [from, to], first, last) {
  const letters = (one.state || "").slice(first, last);
  const runs = [];
  for (let place = 0; place < letters.length; place += 1) {
    const run = runs[runs.length - 1];
    if (run && run.letter === letters[place]) run.length += 1;
    else runs.push({ letter: letters[place], first: place, length: 1 });
  }
  const names = [...new Set(runs.filter((run) => run.letter !== "-").map((run) => LETTERS[run.letter] || "unknown"))];
  return h("figure", { class: "chart" },
    h("figcaption", null, h("span", { class: "chart-title" }, "State"), h("span", { class: "legend" }, names.map((name) => h("span", { class: "legend-item" }, stateOf(name))))),
    h("svg", { viewBox: `0 0 ${Math.max(letters.length, 1)} 10`, class: "strip", preserveAspectRatio: "none", role: "img", "aria-label": `State over time: ${names.join(", ")}` },
      runs.map((run) => h("rect", { class: `strip-${run.letter === "-" ? "none" : kind(LETTERS[run.letter] || "unknown")}`, x: run.first, y: 0, width: run.length, height: 10 }))));
}

function standing(state, one) {
  const now = state.now_unix_ms;
  const open = one.connections;
  return h("dl", { class: "card pad facts" },
    fact("State", stateOf(one.state), h("span", { class: "quiet" }, " ", why(one, now))),
    one.breaker ? fact("Breaker", breaker(one.breaker, now), one.window && one.window.calls ? h("span", { class: "dim num" }, `: ${of(one.window.failures, "failure")} in ${of(one.window.calls, "call")} of its window`) : null) : null,
    Object.entries(one.route_breakers || {}).map(([route, it]) => fact(`Breaker of ${route}`, breaker(it, now))),
    one.check ? fact("Health check", one.check.passed ? h("span", null, "passed ") : h("span", null, code(one.check.code), " "), h("span", { class: "dim num" }, `${span(now - one.check.at_unix_ms)} ago`),
      one.check.details ? h("div", { class: "quiet" }, one.check.details) : null) : fact("Health check", h("span", { class: "dim" }, "none yet")),
    fact("Order", one.ordered === "auto" ? "none: its breaker and checks decide" : one.ordered),
    one.ejected ? fact("Ejected", one.ejected.cause || "", one.ejected.until_unix_ms ? ` for ${left(one.ejected.until_unix_ms - now)} more` : "") : null,
    one.warm_percent != null && one.warm_percent < 100 ? fact("Slow start", `${Math.round(one.warm_percent)} % of its share`) : null,
    open ? fact("Connections", h("span", { class: "num" }, `${count(open.idle)} idle, ${count(open.in_use)} in use`)) : null,
    open ? fact("Learned idle limit", open.idle_limit_ms == null ? h("span", { class: "dim" }, open.stale_met ? "none could be learned" : "none: no kept connection was seen to be closed too early") : h("span", { class: "num" }, ms(open.idle_limit_ms)),
      open.stale_met ? h("span", { class: "quiet" }, `; ${of(open.stale_met, "kept connection was", "kept connections were")} found closed as ${open.stale_met === 1 ? "it was" : "they were"} used`) : null) : null);
}

function breaker(it, now) {
  if (it.state === "closed") return "closed";
  if (it.state === "half-open") return h("span", { class: "num" }, `half-open: ${it.probing} probing, ${it.succeeded} succeeded`);
  const waits = waitsForCall([{ breaker: it }], now);
  return h("span", { class: "num" }, waits ? `open, its next call is a probe; none since ${since(waits)}` : it.until_unix_ms ? `open, next probe in ${left(it.until_unix_ms - now)}` : "open until it is ordered otherwise");
}
