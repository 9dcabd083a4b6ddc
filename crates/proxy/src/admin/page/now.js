// Now: the sentence, the figures, what is open, and each upstream with its endpoints.

import { h } from "./dom.js";
import { icon, shape } from "./icons.js";
import { meter, spark } from "./charts.js";
import { broken, failures, groups, headline, waitsForCall } from "./headline.js";
import { incidentsAt } from "./history.js";
import { byUrgency, kind, savedBy, state as stateOf, tone } from "./states.js";
import { isLost, store } from "./store.js";
import { table } from "./table.js";
import { filter, place, to } from "./route.js";
import { callTable, code } from "./widgets.js";
import { clock, count, left, ms, of, percent, rate, seconds, since, span } from "./words.js";
import { orderDialog } from "./actions.js";

/// More endpoints than this in all, and there is a field to look for one.
const MANY = 12;

/// More upstreams than this, and those that are well are folded.
const MANY_UPSTREAMS = 6;

export function nowView({ state, at }) {
  const incidents = incidentsAt(at);
  const open = groups(incidents.filter((one) => one.state === "open"));
  const calls = at ? store.calls.filter((call) => call.at_unix_ms <= at) : store.calls;
  return [
    sentence(state, incidents, at),
    figures(state, incidents, at),
    open.length > 0 ? openIncidents(open, state) : null,
    upstreams(state, at),
    h("section", { "aria-labelledby": "latest-title" },
      h("header", null, h("h2", { id: "latest-title" }, at ? "Breaks before that moment" : "Latest breaks"), h("span", { class: "grow" }), h("a", { href: to("feed") }, "All breaks")),
      callTable({ id: "latest", label: "Latest breaks", calls: calls.slice(0, 6), empty: at ? "None of them is kept here." : "Nothing broke that is kept." })),
  ];
}

function sentence(state, incidents, at) {
  const seen = headline(state, incidents, at);
  // What isn't heard of any more may be otherwise by now, and "all is well" least of all may stand there.
  const it = !at && isLost() ? { tone: "dim", text: `How it is now isn't known. Last: ${seen.text}`, next: "", id: seen.id } : seen;
  return h("div", { class: `headline ${it.tone}`, id: "headline" },
    h("span", { class: `head-icon ${it.tone}` }, shape(it.tone === "dim" ? "off" : it.tone)),
    h("h1", null, it.id ? h("a", { class: "headline-link", href: to("incident", it.id) }, it.text) : it.text),
    it.next ? h("p", { class: "next num" }, it.next) : null);
}

function figures(state, incidents, at) {
  const ups = state.upstreams;
  const sum = (of) => ups.reduce((total, one) => total + (of(one) || 0), 0);
  const calls = sum((one) => one.minute.calls);
  const over = (one) => (one.minute.success == null ? 0 : one.minute.delivered + one.minute.failed + (one.minute.as_is || 0));
  const good = sum((one) => one.minute.success * over(one));
  const ended = sum(over);
  const extra = calls > 0 ? sum((one) => (one.minute.amplification == null ? 0 : (one.minute.amplification - 1) * one.minute.calls)) / calls : null;
  const saved = {};
  for (const one of ups) for (const [cause, number] of Object.entries((at ? one.minute : one.total).saved)) saved[cause] = (saved[cause] || 0) + number;
  const failed = sum((one) => broken(at ? one.minute : one.total));
  const known = at || ups.some((one) => one.last_s);
  const perSecond = !known ? null : at ? sum((one) => one.rate) : sum((one) => one.last_s && one.last_s.calls);
  const savedAll = Object.values(saved).reduce((total, number) => total + number, 0);
  // The history is kept by columns: the minute of a moment ends with its own.
  const minuteEnd = Math.max(0, ...ups.map((one) => one.minuteEnd || 0));
  const until = at ? `until ${seconds(minuteEnd)}: ` : "";
  const when = at ? "in a minute" : store.hello ? `since ${clock(store.hello.started_unix_ms)}` : "";
  const success = ended > 0 ? good / ended : null;
  const tight = ups.filter((one) => one.budget && one.budget.level != null && one.minute.calls > 0).sort((a, b) => a.budget.level - b.budget.level)[0];
  return h("dl", { class: "figures" },
    figure("Calls", rate(perSecond), at ? null : `${count(state.calls_in_progress)} on their way`),
    figure("Answered well", percent(success), "of those of a minute", success != null && success < 0.99 ? "bad" : ""),
    figure(`Saved ${when}`, h("span", { class: savedAll > 0 ? "did" : "" }, count(savedAll)), savedAll > 0 ? until + savedBy(saved, count).map(([cause, number]) => `${number} by ${cause}`).join(", ") : `${until}none had to be`),
    figure(`Failed ${when}`, h("span", { class: failed > 0 ? "bad" : "" }, count(failed)), failed === 0 ? `${until}none` : at ? `${until}no good answer could be had` : `${count(failures(state).lately)} in the last 10 minutes`),
    figure("Extra attempts", extra == null ? "–" : `${extra <= 0 ? "0" : (extra * 100).toFixed(1)} %`, extra == null ? null : amplified(1 + extra)),
    tight ? figure("Budget left", percent(tight.budget.level), ups.length > 1 ? `least of all: ${tight.name}` : "for extra attempts", tight.budget.level < 0.05 ? "bad" : "") : null);
}

/// Attempts for each call. Fewer than one are made where calls are refused without one.
function amplified(times) {
  return times < 0.995 ? `×${times.toFixed(2)}: some calls were refused without an attempt` : `amplification ×${Math.max(1, times).toFixed(2)}`;
}

function figure(name, value, note, tone = "") {
  return h("div", { class: "figure" }, h("dt", null, name), h("dd", { class: tone }, value, note ? h("div", { class: "note" }, note) : null));
}

/// Rows of open incidents: those of one cause at several endpoints are one row, and count as what they are.
const MOST_OPEN = 6;

function openIncidents(open, state) {
  const number = (rows) => rows.reduce((sum, one) => sum + one.all.length, 0);
  const hidden = number(open.slice(MOST_OPEN));
  return h("section", { "aria-labelledby": "open-title" },
    h("header", null, h("h2", { id: "open-title" }, of(number(open), "open incident")), h("span", { class: "grow" }), h("a", { href: to("incidents") }, hidden > 0 ? `All incidents, ${count(hidden)} more open` : "All incidents")),
    h("ul", { class: "stack tight" }, open.slice(0, MOST_OPEN).map((one) => openRow(one, state))));
}

function openRow(one, state) {
  const more = one.endpoints.length - 3;
  const names = `${one.endpoints.slice(0, 3).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
  const tone = one.wellSince ? "warn" : "bad";
  return h("li", { key: one.first.id, class: "card incident-row" },
    h("span", { class: `state ${tone}` }, shape(tone)),
    h("span", { class: "incident-where" }, h("a", { class: "cover strong", href: to("incident", one.first.id) }, `${one.upstream}${names ? ` / ${names}` : ""}`), " ",
      h("span", { class: "code" }, one.cause),
      h("span", { class: "quiet num" }, `  since ${since(one.began)}, ${span(state.now_unix_ms - one.began)}${one.wellSince ? `; well since ${since(one.wellSince)}` : ""}${one.all.length > 1 ? `; ${of(one.all.length, "incident")}` : ""}`)),
    h("span", { class: "grow cut mono dim", title: one.first.first.details }, one.first.first.details || ""),
    h("span", { class: "quiet num", title: one.all.length > 1 ? "Each call is counted once, however many of these endpoints it met" : null },
      `${of(one.met, "call")} met ${one.all.length > 1 ? "them" : "it"}${one.isWhole ? " in all" : ""} · `, h("span", { class: "did strong" }, `${count(one.saved)} saved`), " · ", h("span", { class: one.failed > 0 ? "bad strong" : "" }, `${count(one.failed)} failed`)));
}

function upstreams(state, at) {
  const all = state.upstreams.reduce((sum, one) => sum + one.endpoints.length, 0);
  const wanted = (place.query.get("find") || "").toLowerCase();
  const onlyOut = place.query.has("out");
  const sorted = [...state.upstreams].sort((left, right) => (left.state === "up") - (right.state === "up"));
  const sections = sorted.map((upstream) => {
    const ordered = byUrgency(upstream.endpoints);
    const endpoints = !wanted && !onlyOut ? ordered : ordered.filter((one) => (!wanted || `${upstream.name} ${one.name}`.toLowerCase().includes(wanted)) && (!onlyOut || kind(one.state) !== "good"));
    return endpoints.length > 0 || !(wanted || onlyOut) ? section(state, upstream, endpoints, at, sorted.length > MANY_UPSTREAMS && !wanted && !onlyOut) : null;
  });
  const found = sections.some(Boolean);
  return h("section", { class: "stack", "aria-label": "Upstreams" },
    all > MANY ? h("div", { class: "bar" },
      h("h2", { class: "hidden" }, "Upstreams"),
      h("span", { class: "grow" }),
      h("input", { type: "search", placeholder: "Find an endpoint", "aria-label": "Find an endpoint", id: "find", value: place.query.get("find") || "", oninput: (event) => { filter({ find: event.target.value }); redraw(); } }),
      h("button", { "aria-pressed": String(onlyOut), onclick: () => { filter({ out: onlyOut ? "" : "1" }); redraw(); } }, "Only what isn't well")) : null,
    sections,
    found ? null : h("div", { class: "card empty" }, onlyOut && !wanted ? "Every endpoint is well." : "No endpoint has such a name."));
}

function redraw() {
  dispatchEvent(new Event("mainstay-redraw"));
}

const unfolded = new Set();

function section(state, upstream, endpoints, at, mayFold) {
  const isFolded = mayFold && upstream.state === "up" && !unfolded.has(upstream.name);
  const id = `up-${upstream.name}`;
  const bad = upstream.endpoints.filter((one) => kind(one.state) !== "good").length;
  const ended = upstream.minute.success;
  return h("section", { key: upstream.name, "aria-labelledby": `${id}-title`, class: "upstream" },
    h("header", null,
      h("h2", { id: `${id}-title`, class: "up-name" }, upstream.name),
      stateOf(upstream.state, bad > 0 ? h("span", { class: "dim" }, ` ${count(bad)} of ${count(upstream.endpoints.length)} not up`) : null),
      h("span", { class: "grow" }),
      h("span", { class: "quiet num" }, rate(at ? upstream.rate : upstream.last_s && upstream.last_s.calls)),
      h("span", { class: `num ${ended != null && ended < 0.99 ? "bad" : "quiet"}` }, `${percent(ended)} good`),
      upstream.minute.amplification == null ? null : h("span", { class: "quiet num", title: upstream.minute.amplification < 0.995 ? "Attempts for each call, in the last minute: fewer than one, since some calls were refused without an attempt" : "Attempts for each call, in the last minute" },
        `×${upstream.minute.amplification.toFixed(2)}${upstream.minute.amplification < 0.995 ? ", some never sent" : ""}`),
      budget(upstream),
      loadOf(upstream),
      mayFold && upstream.state === "up" ? h("button", { class: "plain", "aria-expanded": String(!isFolded), onclick: () => { if (isFolded) unfolded.add(upstream.name); else unfolded.delete(upstream.name); redraw(); } },
        isFolded ? `Show ${of(upstream.endpoints.length, "endpoint")}` : "Fold") : null),
    isFolded ? null : endpointTable(state, upstream, endpoints, at, id));
}

function budget(upstream) {
  const it = upstream.budget;
  if (!it || it.level == null) return null;
  const share = it.level;
  const words = `budget for extra attempts: ${percent(share)} left${it.tokens == null ? "" : `, ${count(it.tokens)} of ${count(it.capacity)} tokens`}`;
  return h("span", { class: "quiet num nowrap", title: words }, "budget ", meter(share, { class: share < 0.05 ? "empty-soon" : share < 0.12 ? "low" : "", label: words }));
}

function loadOf(upstream) {
  const it = upstream.load;
  if (!it) return null;
  const words = [];
  if (it.limit) words.push(`limit ${it.limit.in_flight}/${it.limit.current}`);
  if (it.waiting) words.push(`${count(it.waiting)} waiting`);
  if (it.paused_until_unix_ms) words.push("paused");
  if (it.throttle && it.throttle.refused_percent > 0) words.push(`${it.throttle.refused_percent.toFixed(1)} % throttled`);
  return words.length > 0 ? h("span", { class: "quiet num nowrap" }, words.join(" · ")) : null;
}

function endpointTable(state, upstream, endpoints, at, id) {
  const tiers = new Set(upstream.endpoints.map((one) => one.tier)).size > 1;
  const mayAct = !at && store.hello;
  return table({
    id, label: `Endpoints of ${upstream.name}`, height: 48, narrow: 132,
    empty: "No endpoint.",
    columns: [
      { title: "Endpoint", width: "minmax(100px, 1fr)", class: "lead" },
      { title: "State", width: "minmax(164px, 0.9fr)", class: "state-cell" },
      { title: "Why, and what next", width: "minmax(240px, 2.2fr)", class: "quiet why" },
      { title: "Latency, p50 and p99", width: "190px", class: "latency whole" },
      { title: "In flight", width: "54px", class: "num right later" },
      { title: "Attempts", width: "62px", class: "num right" },
      { title: "Good", width: "62px", class: "num right" },
      { title: "Connections", width: "92px", class: "num right wide-only later" },
      { title: "Order", width: "32px", class: "act", hidden: true },
    ],
    rows: endpoints,
    row: (one) => {
      const values = one.spark || store.sparks.get(`${upstream.name}/${one.name}`) || [];
      const counts = one.breaker && one.breaker.state === "open" && one.breaker.until_unix_ms;
      return {
        key: one.name,
        memo: [one, values, place.at, Boolean(mayAct), counts ? Math.floor(state.now_unix_ms / 200) : 0, one.since_unix_ms && kind(one.state) !== "good" ? Math.floor(state.now_unix_ms / 1000) : 0],
        class: tone(one.state) === "bad" ? "is-bad" : "",
        body: () => cells(state, upstream, one, values, tiers, mayAct),
      };
    },
  });
}

function cells(state, upstream, one, values, tiers, mayAct) {
  const success = one.minute.success;
  const open = one.connections;
  return [
    h("span", { class: "cut" }, h("a", { class: "cover strong", href: to("endpoint", upstream.name, one.name) }, one.name),
      tiers ? h("span", { class: "dim", title: "Its tier: the next is asked only when this one is out" }, ` tier ${one.tier}`) : null),
    h("span", { class: "cut" }, stateOf(one.state), kind(one.state) !== "good" && one.since_unix_ms ? h("span", { class: "dim num" }, ` ${span(state.now_unix_ms - one.since_unix_ms)}`) : null),
    h("span", { class: "cut num" }, why(one, state.now_unix_ms)),
    h("span", { class: "lat" },
      values.every((value) => value == null) ? null : spark(values.slice(-60), { width: 72, height: 24, label: "p99 latency over the last minutes" }),
      h("span", { class: "num quiet" }, one.latency.p50_ms == null ? "–" : [ms(one.latency.p50_ms), h("span", { class: "dim" }, ` ${ms(one.latency.p99_ms)}`)])),
    one.in_flight == null ? "–" : count(one.in_flight),
    one.last_s && one.last_s.attempts != null ? rate(one.last_s.attempts) : "–",
    h("span", { class: success != null && success < 0.99 ? "bad strong" : "" }, percent(success)),
    open ? h("span", { title: `${open.idle} idle, ${open.in_use} in use` },
      `${count(open.idle + open.in_use)} open`, open.idle_limit_ms == null ? null : h("span", { class: "dim under", title: "Learned: kept connections are closed after so long without use, before their server does" }, `idle ≤ ${ms(open.idle_limit_ms)}`)) : "–",
    mayAct ? h("button", { class: "icon plain", "aria-label": `Give an order to ${one.name}`, title: "Drain, open, close", onclick: () => orderDialog(upstream.name, one.name) }, icon("menu")) : null,
  ];
}

/// Why it is in its state, and what comes next.
export function why(one, now) {
  const parts = [];
  const breaks = Object.entries(one.minute.breaks || {}).sort((a, b) => b[1] - a[1]);
  if (one.ordered && one.ordered !== "auto") parts.push(`ordered: ${one.ordered}`);
  if (one.ejected) parts.push(`ejected${one.ejected.cause ? ` by ${one.ejected.cause}` : ""}${one.ejected.until_unix_ms ? `, back in ${left(one.ejected.until_unix_ms - now)}` : ""}`);
  if (one.throttled_until_unix_ms) parts.push(`asks to be left alone for ${left(one.throttled_until_unix_ms - now)}`);
  const cause = one.check && !one.check.passed ? one.check.code : breaks.length > 0 ? breaks[0][0] : null;
  if (cause) parts.push([kind(one.state) === "good" ? `${count(one.minute.broke)} broke in a minute: ` : null,
    h("span", { class: "code", title: one.check && one.check.details ? one.check.details : "" }, cause)]);
  if (one.breaker && one.breaker.state === "open") {
    const waits = waitsForCall([one], now);
    parts.push(waits ? `its next call is a probe; none since ${since(waits)}` : one.breaker.until_unix_ms ? `next probe in ${left(one.breaker.until_unix_ms - now)}` : "until it is ordered otherwise");
  }
  if (one.breaker && one.breaker.state === "half-open") parts.push(`probes: ${one.breaker.probing} out, ${one.breaker.succeeded} good`);
  if (one.warm_percent < 100) parts.push(`takes ${Math.round(one.warm_percent)} % of its share`);
  return parts.length === 0 ? "" : parts.map((part, number) => [number > 0 ? " · " : "", part]);
}
