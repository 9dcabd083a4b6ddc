// One call as a waterfall: its attempts on an axis of time, what each step took, what was decided and why. The same words as
// `mainstay explain` has.

import { h } from "./dom.js";
import { shape } from "./icons.js";
import { ALLOWING, CERTAINTIES, MANUAL, STOPS, UNSENT, VERDICTS } from "./codes.js";
import { use } from "./resource.js";
import { to } from "./route.js";
import { change } from "./states.js";
import { code, endpointLink, fact } from "./widgets.js";
import { exact, iso, ms, of } from "./words.js";

export function callView({ parts: [, id] }) {
  const entry = use(`/calls/${encodeURIComponent(id)}`);
  if (entry.error && entry.error.status === 404) {
    return h("div", { class: "card empty", role: "alert" }, h("strong", null, `Call ${id} isn't kept any more`),
      "The last thousand broken calls are kept, and the last thousand that failed. With [records] in the settings each is in a file too: mainstay explain ID --file FILE.");
  }
  if (!entry.data) return h("div", { class: "card empty" }, entry.error ? entry.error.message : "Loading");
  return story(entry.data.call, true);
}

/// The whole story of a call. `isLive`: on the page, where links lead somewhere.
export function story(call, isLive) {
  const end = outcome(call);
  return [
    h("div", { class: "title" },
      isLive ? h("p", { class: "crumb" }, h("a", { href: to("feed") }, "Feed"), ` / ${call.id}`) : null,
      h("h1", { class: "mono call-title" }, `${call.method} ${call.path}`),
      h("p", { class: "quiet" }, `route ${call.route}, upstream ${call.upstream}, at `, h("time", { datetime: iso(call.started_unix_ms), class: "num" }, exact(call.started_unix_ms)), `, call ${call.id}`),
      h("p", { class: `call-end state ${end.good ? "good" : "bad"}` }, h("span", { class: end.good ? "did" : "bad" }, shape(end.good ? "good" : "bad")), `${end.text}${call.took_ms == null ? "" : ` in ${ms(call.took_ms)}`}`)),
    call.attempts.length === 0 ? unsent(call)
      : [h("section", { class: "card pad", "aria-label": "Waterfall" }, waterfall(call)),
        h("section", { "aria-label": "Attempts" }, h("ol", { class: "stack" }, call.attempts.map((attempt, place) => h("li", { class: "card pad attempt" }, explained(attempt, call.attempts[place + 1], call, isLive)))))],
    tail(call, isLive),
  ];
}

/// There is nothing to draw of a call of which nothing was sent.
function unsent(call) {
  return h("section", { class: "card pad", "aria-label": "What was decided" }, h("p", null, h("strong", null, "Nothing was sent. "), `The call was ${UNSENT[call.code] || "given up without an attempt"}.`));
}

/// Text in which `names` stand as the manual has them.
function marked(text) {
  return text.split("`").map((part, place) => (place % 2 === 1 ? h("code", null, part) : part));
}

/// All rows over one axis: waits before an attempt, then its steps.
function rows(call) {
  const all = [];
  for (const hold of call.holds || []) {
    const next = call.attempts.find((attempt) => attempt.started_ms >= hold.at_ms);
    if (hold.for_ms !== undefined) all.push({ label: `wait for ${hold.by}`, from: hold.at_ms, took: hold.for_ms, kind: "wait", told: "" });
    else if (next) all.push({ label: `wait for ${hold.by}`, from: hold.at_ms, took: next.started_ms - hold.at_ms, kind: "wait", told: "" });
  }
  call.attempts.forEach((attempt, number) => {
    const broke = attempt.result === "broke";
    all.push({ label: `Attempt ${attempt.attempt}: ${attempt.endpoint}`, from: attempt.started_ms, took: attempt.took_ms || 0, kind: broke ? "attempt bad" : attempt.result === "answered" ? "attempt" : "attempt given-up", isAttempt: true,
      told: broke ? attempt.code : attempt.status ? String(attempt.status) : attempt.result });
    for (const step of attempt.steps || []) {
      all.push({ label: step.address && step.step === "connect" ? `connect ${step.address}` : step.step, from: step.started_ms, took: step.took_ms,
        kind: step.outcome === "broke" ? "bad" : step.outcome === "given-up" ? "given-up" : "done", told: step.code || (step.outcome === "given-up" ? "given up" : step.text || "") });
    }
    const next = call.attempts[number + 1];
    if (attempt.delay_ms != null && next) {
      all.push({ label: attempt.delayed_by === "hint" ? "wait, as the peer asked" : "wait (backoff)", from: Math.max(0, next.started_ms - attempt.delay_ms), took: attempt.delay_ms, kind: "wait", told: "" });
    }
  });
  return all;
}

function waterfall(call) {
  const all = rows(call);
  const whole = Math.max(0.001, call.took_ms || 0, ...all.map((row) => row.from + row.took));
  const ticks = [0, 0.25, 0.5, 0.75, 1];
  return h("div", { class: "waterfall", role: "table", "aria-label": "Steps of the call over time" },
    h("div", { role: "rowgroup" }, h("div", { class: "wf-row wf-head", role: "row" },
      h("span", { role: "columnheader", class: "wf-label" }, "Step"),
      h("span", { role: "columnheader", class: "wf-axis" }, ticks.map((share) => h("span", { class: "wf-tick num", style: { left: `${share * 100}%` } }, share === 0 ? "0" : ms(whole * share)))),
      h("span", { role: "columnheader", class: "wf-took" }, "Took"))),
    h("div", { role: "rowgroup" }, all.map((row) =>
      h("div", { class: `wf-row ${row.isAttempt ? "wf-attempt" : ""}`, role: "row" },
        h("span", { role: "cell", class: "wf-label" }, row.label, row.told && !fits(row, whole) ? h("span", { class: row.kind.includes("bad") ? "bad" : "dim" }, ` ${row.told}`) : null),
        h("span", { role: "cell", class: "wf-axis" },
          h("span", { class: `wf-bar ${row.kind}`, style: { left: `${Math.min(99.5, (row.from / whole) * 100)}%`, width: `${Math.max(0.4, Math.min(100, (row.took / whole) * 100))}%` } }),
          row.told && fits(row, whole) ? h("span", { class: `wf-told ${row.kind.includes("bad") ? "bad" : "dim"}`, style: told(row, whole) }, row.told) : null),
        h("span", { role: "cell", class: "wf-took num" }, ms(row.took))))));
}

/// Whether there is room beside the bar.
function fits(row, whole) {
  return (row.from + row.took) / whole < 0.62 || row.from / whole > 0.38;
}

/// What is said stands where there is room: right of the bar, or left of it.
function told(row, whole) {
  const end = Math.min(100, ((row.from + row.took) / whole) * 100);
  return end < 62 ? { left: `calc(${end.toFixed(2)}% + 8px)` } : { right: `calc(${Math.max(0, 100 - (row.from / whole) * 100).toFixed(2)}% + 8px)` };
}

function explained(attempt, next, call, isLive) {
  const title = h("h2", null, `Attempt ${attempt.attempt}: `, isLive ? endpointLink(call.upstream, attempt.endpoint) : attempt.endpoint, attempt.reason === "first" ? "" : h("span", { class: "dim" }, ` (${attempt.reason})`));
  const over = attempt.connection ? h("p", { class: "quiet" }, `over ${connection(attempt.connection)}`) : null;
  if (!attempt.code) {
    return [title, over, h("p", { class: "state good" }, h("span", { class: "good" }, shape("good")), attempt.status ? `answered ${attempt.status} after ${ms(attempt.took_ms)}` : attempt.result)];
  }
  // The attempt's own error says most of them already.
  const detailed = (attempt.steps || []).filter((step) => step.code && step.text && !(attempt.detail || "").includes(step.text));
  return [title, over,
    h("p", { class: "state bad" }, shape("bad"), h("span", null, "broke: ", isLive ? code(attempt.code) : h("span", { class: "code" }, attempt.code), `${attempt.status ? ` ${attempt.status}` : ""} after ${ms(attempt.took_ms)}`)),
    h("dl", { class: "facts" },
      attempt.certainty ? fact("How far", CERTAINTIES[attempt.certainty] || attempt.certainty) : null,
      attempt.evidence ? fact("Evidence", attempt.evidence) : null,
      attempt.detail ? fact("Error", h("span", { class: "mono" }, attempt.detail)) : null,
      detailed.map((step) => fact("Error", h("span", { class: "mono" }, `${step.address || step.step}: ${step.text}`))),
      attempt.retry_after_ms != null ? fact("Hint", `the peer asked to be left alone for ${ms(attempt.retry_after_ms)}`) : null,
      decision(attempt, next) ? fact("Decided", marked(decision(attempt, next))) : null,
      attempt.circumstances ? fact("Before it", `breaker ${attempt.circumstances.breaker}, budget ${attempt.circumstances.budget_tokens} tokens, ${attempt.circumstances.budget_extra} extra attempts for ${attempt.circumstances.budget_calls} calls in its window`) : null,
      MANUAL[attempt.code] ? fact("Look at", MANUAL[attempt.code]) : null)];
}

function tail(call, isLive) {
  const facts = [
    call.body_broke && call.body_broke !== "client-gone" ? fact("The body broke", isLive ? code(call.body_broke) : call.body_broke, ` ${MANUAL[call.body_broke] || ""}`) : null,
    call.cut ? fact("Not healed", call.cut) : null,
    call.upload_resumed ? fact("Upload", `went on from where the server had it, ${times(call.upload_resumed)}`) : null,
    call.upload_not_resumed ? fact("Not resumed", call.upload_not_resumed) : null,
    (call.notes || []).map((note) => fact("Meanwhile", `${note.endpoint}: ${change(note.event)}, ${ms(note.at_ms)} after the call's begin`)),
    (call.holds || []).filter((hold) => hold.by === "breaker" && hold.for_ms !== undefined).map((hold) => fact("Every breaker was open", `it waited ${ms(hold.for_ms)}, and ${hold.passed ? "was let through" : "none let it through"}`)),
    call.attempts.length === 0 && call.code ? fact("Code", isLive ? code(call.code) : call.code, ` ${MANUAL[call.code] || ""}`) : null,
    call.body_unrepeatable ? fact("Body", "the request's body couldn't be sent a second time") : null,
    call.events_dropped > 0 ? fact("Left out", `${of(call.events_dropped, "event")}, for which there was no room`) : null,
    fact("The application got", end(call)),
  ];
  return h("dl", { class: "card pad facts" }, facts);
}

function times(number) {
  return number === 1 ? "once" : `${number} times`;
}

function connection(it) {
  const history = it.reused
    ? `reused, ${ms(it.age_ms)} old${it.idle_ms == null ? "" : `, idle for ${ms(it.idle_ms)}`}, ${it.requests_before} ${it.requests_before === 1 ? "request" : "requests"} before`
    : "fresh";
  return `${it.peer || "unknown address"}, connection ${it.id} (${it.protocol}${it.secure ? " over TLS" : ""}, ${history})`;
}

function decision(attempt, next) {
  if (!attempt.decision) return null;
  const free = attempt.verdict === "again-free" ? " at once, free of charge" : " at once";
  const when = attempt.delay_ms == null ? free : ` after ${ms(attempt.delay_ms)} (${attempt.delayed_by === "hint" ? "as the peer asked" : "backoff"})`;
  // When all others were asked before, a retry may be at any of them.
  const where = !next ? "" : next.endpoint === attempt.endpoint ? " at the same endpoint" : `, at ${next.endpoint}`;
  const isStop = attempt.decision !== "retry" && attempt.decision !== "failover";
  const done = attempt.decision === "retry" ? `again${where}${when}`
    : attempt.decision === "failover" ? `on to another endpoint${when}`
      : `no further attempt: ${STOPS[attempt.decision] || attempt.decision}`;
  const why = VERDICTS[attempt.verdict];
  // What allows another attempt isn't why there was none.
  // Some reasons to stop are the verdict itself.
  return why && attempt.decision !== attempt.verdict ? `${done}. ${isStop && ALLOWING.has(attempt.verdict) ? "But for that" : "Because"}: ${why}` : done;
}

function outcome(call) {
  const status = call.status == null ? "" : ` ${call.status}`;
  if (call.degraded) return { good: false, text: `failed ${call.code || "an error"}; ${standIn(call.degraded)} stood in,${status}` };
  if (call.outcome === "delivered") {
    if (call.healed) return { good: true, text: `delivered${status} (healed)` };
    if (call.body_broke) return { good: false, text: `delivered${status}, cut` };
    return { good: true, text: `delivered${status}${call.saved ? ` (saved by ${call.saved})` : ""}` };
  }
  if (call.outcome === "as_is") return { good: false, text: `delivered${status} as it is` };
  return { good: false, text: call.outcome === "failed" ? `failed ${call.code || "?"}` : call.outcome };
}

function standIn(by) {
  return by === "stale" ? "an answer that was good before" : by === "static" ? "the route's fallback" : by;
}

function end(call) {
  const answered = [...call.attempts].reverse().find((attempt) => attempt.status != null);
  const from = answered ? ` of ${answered.endpoint}` : "";
  const status = call.status == null ? 0 : call.status;
  const certainty = call.certainty ? CERTAINTIES[call.certainty] || call.certainty : "";
  if (call.degraded) {
    const what = call.outcome === "as_is" ? `the last broken answer${from}, since nothing better came` : `an answer: the call failed with ${call.code || "?"} (${certainty})`;
    return `${standIn(call.degraded)} (${status}), marked as such, in place of ${what}`;
  }
  if (call.outcome === "delivered") {
    if (call.body_broke && call.healed) return `the answer${from} (${status}), whole: its body broke ${times(call.healed)} (${call.body_broke}) and was continued from where it broke`;
    if (call.body_broke === "client-gone") return `the answer${from} (${status}), whose body the application didn't read to its end`;
    if (call.body_broke) return `the head of the answer${from} (${status}); the body broke (${call.body_broke}), and the connection was cut so that it can't be taken for complete`;
    return `the answer${from} (${status})`;
  }
  if (call.outcome === "as_is") return `the last broken answer${from} (${status}) as it is, since nothing better came`;
  if (call.outcome === "failed") return `no answer of the upstream: a problem document with the code ${call.code || "?"} (${certainty})`;
  return "unknown: the call isn't over";
}
