// Incidents: what broke together at one endpoint for one cause, from its first break to what ended it.

import { h } from "./dom.js";
import { shape } from "./icons.js";
import { chart } from "./charts.js";
import { costs } from "./headline.js";
import { incidentAt, incidentsAt } from "./history.js";
import { isNarrow } from "./list.js";
import { use } from "./resource.js";
import { began, ended, savedBy } from "./states.js";
import { store } from "./store.js";
import { address, to } from "./route.js";
import { table } from "./table.js";
import { changeList } from "./changes.js";
import { callTable, code, endpointLink, fact, time, waiting } from "./widgets.js";
import { count, list, of, percent, rate, seconds, span } from "./words.js";
import { saveDialog } from "./save.js";

export function incidentsView({ state, at }) {
  const all = incidentsAt(at);
  const open = all.filter((one) => one.state === "open");
  const older = use("/incidents", 15_000);
  const known = new Set(all.map((one) => one.id));
  const more = older.data ? older.data.incidents.filter((one) => !known.has(one.id) && (!at || one.began_unix_ms <= at)) : [];
  const ends = [...all.filter((one) => one.state === "ended"), ...more].sort((left, right) => right.began_unix_ms - left.began_unix_ms);
  return [
    h("div", { class: "title" }, h("h1", null, "Incidents"),
      h("p", { class: "quiet" }, "Consecutive breaks of one cause at one endpoint, from the first break to what ended it. The counts are exact: of each call, not of a sample. A call that met several of them is counted by each: they don't add up to calls.")),
    h("section", { "aria-labelledby": "open-now" }, h("header", null, h("h2", { id: "open-now" }, at ? "Open at that moment" : "Open")), incidentTable(open, state.now_unix_ms, "No incident is open.")),
    h("section", { "aria-labelledby": "ended-before" }, h("header", null, h("h2", { id: "ended-before" }, "Ended")), incidentTable(ends, state.now_unix_ms, "None has ended.")),
  ];
}

export function incidentTable(incidents, now, empty = "None.") {
  return table({
    id: `incidents-${incidents.length > 0 ? incidents[0].state : "none"}`, label: "Incidents", empty, height: 48, narrow: 120,
    columns: [
      { title: "Where", width: "minmax(140px, 1.1fr)", class: "lead" },
      { title: "Cause", width: "minmax(140px, 1fr)" },
      { title: "Began", width: "90px", class: "num" },
      { title: "Lasted", width: "104px", class: "num" },
      { title: "Met", width: "84px", class: "num right" },
      { title: "Saved", width: "84px", class: "num right" },
      { title: "Failed", width: "84px", class: "num right" },
      { title: "Ended by", width: "minmax(140px, 1.2fr)", class: "quiet" },
    ],
    rows: incidents,
    row: (one) => ({
      key: one.id,
      memo: [one, one.state === "open" ? Math.floor(now / 1000) : 0],
      class: one.state === "open" ? "is-bad" : "",
      body: () => [
        h("span", { class: "cut" }, h("a", { class: "cover strong", href: to("incident", one.id) }, `${one.upstream}${one.endpoint ? ` / ${one.endpoint}` : ""}`)),
        h("span", { class: "code" }, one.cause),
        time(one.began_unix_ms),
        span(one.state === "open" ? now - one.began_unix_ms : one.lasted_ms),
        count(one.calls.met),
        h("span", { class: "did" }, count(one.calls.saved)),
        h("span", { class: one.calls.failed > 0 ? "bad strong" : "" }, count(one.calls.failed)),
        one.state === "open" ? h("span", { class: "state bad" }, shape("bad"), "open") : h("span", { class: "cut" }, ended(one.ended_by)),
      ],
    }),
  });
}

/// Calls of an incident that are listed when all are asked for.
const ALL_CALLS = 1000;

/// Incidents of its endpoints that are named.
const MOST_REASONS = 8;

/// The incident of which all calls were asked for.
let allOf = null;

export function incidentView({ state, at, parts: [, id] }) {
  const path = `/incidents/${encodeURIComponent(id)}`;
  const more = allOf === id ? use(`${path}?calls=${ALL_CALLS}`, 5000) : null;
  // The short list stays until the long one has come.
  const entry = more && more.data ? more : use(path, 5000);
  const missing = waiting(entry, "The incident");
  if (missing) return missing;
  const fresh = store.incidents.get(id) || entry.data.incident;
  const wasOpen = at && fresh.began_unix_ms <= at && (fresh.ended_unix_ms == null || fresh.ended_unix_ms > at);
  const one = wasOpen ? incidentAt(fresh, at) : fresh;
  const now = state.now_unix_ms;
  const isOpen = one.state === "open";
  const from = one.began_unix_ms;
  const until = one.ended_unix_ms || now;
  // Where calls found no endpoint, what broke at them is why.
  const reasons = one.endpoint ? [] : incidentsAt(at).filter((other) => other.upstream === one.upstream && other.endpoint && other.began_unix_ms <= until && (other.ended_unix_ms || now) >= from);
  const where = [one.upstream, one.endpoint ? h("span", null, " / ", endpointLink(one.upstream, one.endpoint)) : ": no endpoint could be used"];
  return [
    h("div", { class: "title" },
      h("p", { class: "crumb" }, h("a", { href: to("incidents") }, "Incidents"), ` / ${one.id}`),
      h("div", { class: "bar" }, h("h1", null, where), code(one.cause),
        h("span", { class: `state ${isOpen ? "bad" : "off"}` }, shape(isOpen ? "bad" : "off"), isOpen ? `open for ${span(now - from)}` : `lasted ${span(one.lasted_ms)}`),
        h("span", { class: "grow" }),
        h("a", { class: "button", href: address(["incident", id], from + Math.min(15_000, Math.max(0, until - from) / 2)) }, "Go to its begin"),
        h("button", { onclick: () => saveDialog([from - 180_000, Math.min(now, until + 180_000)]) }, "Save as a file"))),
    h("div", { class: `headline ${one.calls.failed > 0 ? "bad" : isOpen ? "warn" : "dim"}` },
      h("span", { class: `head-icon ${one.calls.failed > 0 ? "bad" : isOpen ? "warn" : "dim"}` }, shape(one.calls.failed > 0 ? "bad" : isOpen ? "warn" : "off")),
      h("h1", { class: "as-h2" }, story(one)), h("p", { class: "next" }, does(one))),
    h("dl", { class: "figures" },
      figure(one.isWhole ? "Calls that met it in all" : wasOpen ? "Calls that had met it" : "Calls that met it", count(one.calls.met), wasOpen ? "at that moment" : of(one.breaks, "break")),
      figure("Saved", h("span", { class: "did" }, count(one.calls.saved)), savedBy(one.saved_by, count).map(([cause, number]) => `${number} by ${cause}`).join(", ") || "none"),
      figure("Failed", h("span", { class: one.calls.failed > 0 ? "bad" : "" }, count(one.calls.failed)), one.calls.met > 0 ? `${percent(one.calls.failed / one.calls.met)} of those that met it` : null),
      one.calls.left > 0 ? figure("Left", count(one.calls.left), "the application went away first") : null,
      figure("Lasted", span(isOpen ? now - from : one.lasted_ms), `${seconds(from)} to ${isOpen && !at ? "now" : seconds(until)}`)),
    drawn(one, from, until, at),
    h("div", { class: "two" },
      h("section", { "aria-labelledby": "seen-first" }, h("header", null, h("h2", { id: "seen-first" }, "What was seen first")),
        h("dl", { class: "card pad facts" },
          fact("When", time(one.first.at_unix_ms), ": its first break, from which on it counts"),
          fact("Known by", began(one.began_by)),
          one.first.phase ? fact("Phase", one.first.phase) : null,
          one.first.certainty ? fact("How far it got", one.first.certainty) : null,
          one.first.details ? fact("Error", h("span", { class: "mono" }, one.first.details)) : null,
          one.first.call ? fact("Call", h("a", { class: "mono", href: to("call", one.first.call) }, one.first.call)) : null,
          wasOpen ? null : fact("Last break", time(one.last_break_unix_ms)),
          one.well_since_unix_ms ? fact("Well again", time(one.well_since_unix_ms), `: ${ended(one.well_by)}. It is over once nothing has broken there for some seconds`) : null,
          one.ended_by ? fact("Ended", time(one.ended_unix_ms), `: ${ended(one.ended_by)}`) : null,
          reasons.length > 0 ? fact("At the endpoints", reasons.slice(0, MOST_REASONS).map((other, number) => [number > 0 ? ", " : "", h("a", { href: to("incident", other.id) }, other.endpoint), ` ${other.cause}`]),
            reasons.length > MOST_REASONS ? ` and ${of(reasons.length - MOST_REASONS, "more incident")}` : null) : null,
          entry.data.group.length > 0 ? fact("At the same time", entry.data.group.map((other, number) => [number > 0 ? ", " : "", h("a", { href: to("incident", other.id) }, other.endpoint || other.id)]),
            one.group_calls ? `; ${of(one.group_calls.met, "call")} met one or more of them, ${count(one.group_calls.failed)} failed` : null) : null)),
      h("section", { "aria-labelledby": "changed" }, h("header", null, h("h2", { id: "changed" }, "What changed until its end"), h("span", { class: "dim" }, "and half a minute before it")), changeList(entry.data.changes.filter((change) => !at || change.at_unix_ms <= at), { withUpstream: false }))),
    h("section", { "aria-labelledby": "its-calls" }, itsCalls(entry.data, fresh, Boolean(more && !more.data))),
  ];
}

/// Some of its calls, how many they are of how many, and how to see the others.
function itsCalls(doc, one, isLoading) {
  const { calls, calls_kept: kept } = doc;
  const listed = calls.length < one.calls.met ? `: ${count(calls.length)} of ${count(one.calls.met)}` : "";
  const gone = kept < one.calls.met ? `, of which ${count(kept)} are kept` : "";
  return [
    h("header", null, h("h2", { id: "its-calls" }, "Calls that met it"), h("span", { class: "dim num" }, `failed ones first${listed}${gone}`), h("span", { class: "grow" }),
      calls.length < kept ? h("button", { id: "more-calls", disabled: isLoading, onclick: () => { allOf = one.id; dispatchEvent(new Event("mainstay-redraw")); } }, isLoading ? "Loading" : `Show all ${count(Math.min(kept, ALL_CALLS))} that are kept`) : null),
    callTable({ id: "incident-calls", label: "Calls that met it", calls, empty: "None of them is kept any more." }),
  ];
}

function figure(name, value, note) {
  return h("div", { class: "figure" }, h("dt", null, name), h("dd", null, value, note ? h("div", { class: "note" }, note) : null));
}

/// The incident in a sentence.
export function story(one) {
  const who = one.endpoint ? `endpoint ${one.endpoint}` : "no endpoint could be used";
  const when = one.state === "open" ? `since ${seconds(one.began_unix_ms)}` : `from ${seconds(one.began_unix_ms)} to ${seconds(one.ended_unix_ms)}`;
  return `${one.upstream}: ${who} ${one.endpoint ? (one.state === "open" ? "breaks" : "broke") : ""} with ${one.cause} ${when}; ${of(one.calls.met, "call")} met it, ${costs(one)}.`.replace(/ {2,}/g, " ");
}

function does(one) {
  const words = [];
  const by = savedBy(one.saved_by, count);
  if (by.length > 0) words.push(`Mainstay brought ${of(one.calls.saved, "of these calls", "of these calls")} a good answer by ${list(by.map(([cause]) => cause))}.`);
  if (one.calls.failed > 0) words.push("Those that failed are listed below first, each with why nothing more was tried.");
  if (one.isWhole) words.push("How many had met it at that moment isn't kept: these are all of them.");
  if (one.ended_by) words.push(`It ended when ${ended(one.ended_by)}.`);
  return words.join(" ");
}

function drawn(one, from, until, at) {
  const margin = Math.max(60_000, Math.min(300_000, (until - from) * 0.4));
  const path = `/timeline?upstream=${encodeURIComponent(one.upstream)}&from=${Math.floor((from - margin) / 10_000) * 10_000}&to=${Math.ceil((until + margin) / 10_000) * 10_000}`;
  const entry = use(path, 10_000);
  const doc = entry.data;
  const upstream = doc && doc.upstreams[0];
  if (!upstream) return null;
  return h("section", { class: "card pad", "aria-label": "The time around it" }, h("div", { class: "two charts" }, incidentCharts(doc, upstream, one, at, isNarrow() ? 344 : 620)));
}

/// The drawings of an incident; the saved file has them too.
export function incidentCharts(doc, upstream, one, at, width) {
  const times = [doc.from_unix_ms, doc.from_unix_ms + doc.buckets * doc.bucket_ms];
  const seconds = doc.bucket_ms / 1000;
  const saved = Object.values(upstream.saved).reduce((sum, values) => (sum ? sum.map((value, place) => (value || 0) + (values[place] || 0)) : values), null) || [];
  const spans = [{ from: one.began_unix_ms, to: one.ended_unix_ms || at || times[1], class: "bad" }];
  const per = (values) => values.map((value) => (value == null ? null : value / seconds));
  // An answer that was delivered broken, as it was, failed for the application too.
  const failed = upstream.failed.map((value, place) => (value == null ? null : value + ((upstream.as_is || [])[place] || 0)));
  const plain = upstream.calls.map((value, place) => (value == null ? null : Math.max(0, value - (saved[place] || 0) - (failed[place] || 0))));
  const endpoints = (upstream.endpoints || []).filter((endpoint) => endpoint.attempts.some(Boolean)).slice(0, 6);
  const named = endpoints.find((endpoint) => endpoint.name === one.endpoint);
  return [
    chart({ title: `Calls a second, ${upstream.name}`, times, width, spans, at, format: (value) => rate(value).replace("/s", ""),
      layers: [{ class: "calm", values: per(plain), label: "well" }, { class: "blue", values: per(saved), label: "saved" }, { class: "red", values: per(failed), label: "failed" }] }),
    named ? chart({ title: `Attempts a second, ${named.name}`, times, width, spans, at, format: (value) => rate(value).replace("/s", ""),
      layers: [{ class: "calm", values: per(named.attempts.map((value, place) => (value == null ? null : Math.max(0, value - (named.broke[place] || 0))))), label: "answered" }, { class: "red", values: per(named.broke), label: "broke" }] })
      : chart({ title: "Budget left", times, width, spans, at, least: 1, format: (value) => percent(value), lines: [{ class: "ink", values: upstream.budget || [], label: "" }] }),
  ];
}
