// Small things that several views show.

import { h } from "./dom.js";
import { shape } from "./icons.js";
import { iso, ms, seconds, span } from "./words.js";
import { began, change, changeKind, decided, ended } from "./states.js";
import { to } from "./route.js";
import { table } from "./table.js";

/// A break code: leads to its page of the manual.
export function code(name) {
  return name ? h("a", { class: "code", href: `/dashboard/breaks#${encodeURIComponent(name)}`, title: `What ${name} means` }, name) : null;
}

export function time(unixMs, how = seconds) {
  return unixMs == null ? "–" : h("time", { datetime: iso(unixMs), title: iso(unixMs), class: "num" }, how(unixMs));
}

export function ago(unixMs, now) {
  return h("time", { datetime: iso(unixMs), title: iso(unixMs), class: "num" }, `${span(now - unixMs)} ago`);
}

export function endpointLink(upstream, endpoint, label = endpoint) {
  return h("a", { href: to("endpoint", upstream, endpoint) }, label);
}

/// A document that isn't there yet, or not to be had.
export function waiting(entry, what) {
  if (entry.error && !entry.data) return h("div", { class: "card empty", role: "alert" }, h("strong", null, `${what} can't be shown`), entry.error.message);
  return entry.data ? null : h("div", { class: "card empty" }, "Loading");
}

/// Rows of the feed.
export function callTable({ id, calls, label, empty }) {
  return table({
    id, label, empty, height: 40, narrow: 112, cards: "minmax(0, 2fr) minmax(0, 1fr)",
    columns: [
      { title: "Time", width: "104px", class: "num dim" },
      { title: "Call", width: "minmax(150px, 1.4fr)", class: "lead" },
      { title: "What broke", width: "minmax(170px, 1.5fr)", class: "whole" },
      { title: "Decision", width: "minmax(150px, 1.5fr)", class: "quiet whole" },
      { title: "The application got", width: "minmax(130px, 1fr)" },
      { title: "Took", width: "84px", class: "num right" },
    ],
    rows: calls,
    row: (call) => ({
      key: call.id,
      memo: [call],
      body: () => callCells(call),
    }),
  });
}

function callCells(call) {
  const last = call.breaks[call.breaks.length - 1];
  const first = call.breaks[0];
  return [
    time(call.at_unix_ms),
    h("span", { class: "cut" }, h("a", { class: "cover mono", href: to("call", call.id) }, `${call.method} ${call.path}`)),
    first ? h("span", { class: "cut" }, `${first.endpoint} `, h("span", { class: "code" }, first.code), call.breaks.length > 1 ? h("span", { class: "dim" }, ` +${call.breaks.length - 1}`) : null)
      : h("span", { class: "code" }, call.code || "–"),
    h("span", { class: "cut" }, decided(last ? last.decision || call.stopped : call.stopped) || (call.breaks.length === 0 && call.attempts === 0 ? "refused at once: nothing was sent" : "–")),
    outcome(call),
    call.took_ms == null ? "–" : ms(call.took_ms),
  ];
}

/// How a call ended, for its application.
export function outcome(call) {
  if (call.degraded) return h("span", { class: "state warn" }, shape("warn"), `${call.degraded} stand-in`);
  if (call.failed || call.outcome === "failed") {
    const what = call.outcome === "failed" ? "no answer" : call.outcome === "as_is" ? `${call.status} as it is` : `${call.status || ""} cut`;
    return h("span", { class: "state bad" }, shape("bad"), what);
  }
  return h("span", { class: "state good" }, h("span", { class: "did" }, shape("good")), call.saved ? `${call.status || "answer"}, by ${call.saved}` : `${call.status || "answer"}`);
}

/// Changes of state, the newest first.
export function changeList(changes, { withUpstream = true, most = 200, empty = "Nothing changed." } = {}) {
  if (changes.length === 0) return h("div", { class: "card empty" }, empty);
  // What an incident began with happened before it was known to be one: by time, not as they were told.
  const sorted = [...changes].sort((left, right) => right.at_unix_ms - left.at_unix_ms || right.seq - left.seq);
  return h("ol", { class: "card changes" }, sorted.slice(0, most).map((one) =>
    h("li", { key: String(one.seq), class: "change" },
      h("span", { class: "dim" }, time(one.at_unix_ms)),
      h("span", { class: `state ${tone(changeKind(one.event))}` }, shape(changeKind(one.event)), h("span", { class: "change-what" }, change(one.event))),
      h("span", { class: "quiet change-told" },
        withUpstream && one.upstream ? [one.upstream, one.endpoint ? " / " : null] : null,
        one.endpoint ? endpointLink(one.upstream, one.endpoint) : null,
        told(one)))));
}

function tone(kind) {
  return kind === "probing" ? "warn" : kind;
}

function told(one) {
  const words = [];
  if (one.event.startsWith("incident")) words.push(h("a", { href: to("incident", one.what) }, one.what));
  else if (one.what != null) words.push(String(one.what));
  if (one.code) words.push(one.code);
  if (one.why) words.push(one.event === "incident-ended" ? ended(one.why) : one.event === "incident-began" ? began(one.why) : one.why);
  if (one.for_ms != null) words.push(`for ${ms(one.for_ms)}`);
  if (one.who) words.push(`by ${one.who}`);
  if (one.details) words.push(one.details);
  if (one.noticed_unix_ms && one.noticed_unix_ms - one.at_unix_ms >= 1000) words.push(`known ${span(one.noticed_unix_ms - one.at_unix_ms)} later`);
  return words.map((word) => [" · ", word]);
}

/// A name and a value.
export function fact(name, ...value) {
  return [h("dt", null, name), h("dd", null, value)];
}
