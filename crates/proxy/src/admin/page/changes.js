// Changes of state as rows: what a breaker does in an outage again and again is one of them. `mainstay top` folds the same way, by one
// table of cases (crates/cli/src/top/model/changes.json).

import { h } from "./dom.js";
import { shape } from "./icons.js";
import { to } from "./route.js";
import { began, change, changeKind, ended } from "./states.js";
import { endpointLink, time } from "./widgets.js";
import { ms, seconds, span } from "./words.js";

/// Changes of state, the newest first.
export function changeList(changes, { withUpstream = true, most = 200, empty = "Nothing changed." } = {}) {
  if (changes.length === 0) return h("div", { class: "card empty" }, empty);
  // What an incident began with happened before it was known to be one: by time, not as they were told.
  const sorted = [...changes].sort((left, right) => left.at_unix_ms - right.at_unix_ms || left.seq - right.seq);
  return h("ol", { class: "card changes" }, folded(sorted).reverse().slice(0, most).map(({ first, last, probes }) =>
    h("li", { key: String(first.seq), class: "change" },
      h("span", { class: "dim" }, time(last.at_unix_ms)),
      h("span", { class: `state ${tone(changeKind(last.event))}` }, shape(changeKind(last.event)), h("span", { class: "change-what" }, probes > 0 ? `probed ${probes === 1 ? "once" : `${probes} times`}` : change(last.event))),
      h("span", { class: "quiet change-told" },
        withUpstream && last.upstream ? [last.upstream, last.endpoint ? " / " : null] : null,
        last.endpoint ? endpointLink(last.upstream, last.endpoint) : null,
        (probes > 0 ? probed(first, last, probes) : told(last)).map((word) => [" · ", word])))));
}

/// Rows of changes, the oldest first: `{ first, last, probes }`. Probes that failed one after the other at an endpoint are one, and
/// `probes` says how many; it is 0 of a change that stands for itself.
export function folded(changes) {
  const rows = [];
  const runs = new Map();
  for (const one of changes) {
    const row = { first: one, last: one, probes: 0 };
    // An incident is told beside what it is about.
    if (one.endpoint && !one.event.startsWith("incident-")) {
      const key = `${one.upstream}/${one.endpoint}`;
      // Probes that failed, and how many are let through whose end is still to come.
      const run = runs.get(key) || { probed: null, half: null };
      const { half } = run;
      run.half = null;
      if (one.event === "breaker-half-opened") {
        run.half = row;
      } else if (half && one.event === "breaker-opened" && one.why === "probe-failed") {
        row.first = (run.probed || half).first;
        row.probes = (run.probed ? run.probed.probes : 0) + 1;
        for (const part of [half, run.probed]) if (part) part.isGone = true;
        run.probed = row;
      } else {
        run.probed = null;
      }
      runs.set(key, run);
    }
    rows.push(row);
  }
  return rows.filter((row) => !row.isGone);
}

function tone(kind) {
  return kind === "probing" ? "warn" : kind;
}

function probed(first, last, probes) {
  return probes === 1 ? ["opened again", last.for_ms == null ? null : `for ${ms(last.for_ms)}`].filter(Boolean)
    : ["opened again each time", h("span", { class: "num" }, `since ${seconds(first.at_unix_ms)}`)];
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
  return words;
}
