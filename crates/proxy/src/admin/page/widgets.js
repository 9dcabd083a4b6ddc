// Small things that several views show.

import { h } from "./dom.js";
import { shape } from "./icons.js";
import { iso, ms, seconds, span } from "./words.js";
import { decided } from "./states.js";
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
      : call.code ? h("span", { class: "code" }, call.code) : h("span", { class: "cut quiet" }, call.waited_ms == null ? "–" : "every breaker was open"),
    h("span", { class: "cut" }, decided(last ? last.decision || call.stopped : call.stopped) || unbroken(call)),
    outcome(call),
    call.took_ms == null ? "–" : ms(call.took_ms),
  ];
}

/// What was decided of a call without a break.
function unbroken(call) {
  const waited = call.waited_ms == null ? null : `waited ${ms(call.waited_ms)}`;
  if (call.breaks.length > 0 || call.attempts > 0) return waited ? `${waited}, then sent` : "–";
  return waited ? `${waited}: nothing was sent` : "refused at once: nothing was sent";
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

/// A name and a value.
export function fact(name, ...value) {
  return [h("dt", null, name), h("dd", null, value)];
}
