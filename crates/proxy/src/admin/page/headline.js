// One sentence that says what is broken, since when, why, and what it costs; and one on what Mainstay does about it: the same as
// `mainstay top` says, by one table of cases (crates/cli/src/top/model/headlines.json).

import { ended, kind, savedBy, takesCalls, word } from "./states.js";
import { count, left, list, of, since, span } from "./words.js";

/// `{ tone, text, next, spoken }`: `spoken` has no number that changes every second, for a screen reader.
export function headline(state, incidents, at) {
  if (!state) return { tone: "dim", text: "Waiting for the first news", next: "", spoken: "" };
  if (state.draining) return { tone: "warn", text: "Mainstay is draining: it takes no new calls, and ends when those on their way are done.", next: "", spoken: "Mainstay is draining" };
  // What nobody misses and nobody asks isn't what is to be said first.
  const isMissed = isCalm(state) ? (one) => Number(!waits(state, one)) : () => 1;
  const open = groups(incidents.filter((one) => one.state === "open")).sort((left, right) => isMissed(right) - isMissed(left));
  if (open.length > 0) return ofIncident(state, open, at);
  const out = state.upstreams.flatMap((upstream) =>
    upstream.endpoints.filter((endpoint) => ["bad", "probing", "off"].includes(kind(endpoint.state)) && endpoint.state !== "unknown").map((endpoint) => ({ upstream, endpoint })));
  const idle = isCalm(state) ? out.filter(isIdle(state.now_unix_ms)) : [];
  const rest = out.filter((one) => !idle.includes(one));
  if (rest.length > 0) return ofEndpoints(state, rest, out.length);
  return ofPeace(state, incidents, idle.map(({ endpoint }) => endpoint.name), at);
}

/// Whether in the last minute nothing broke.
function isCalm(state) {
  return failures(state).minute === 0 && state.upstreams.every((upstream) => upstream.endpoints.every((one) => !one.minute || !one.minute.broke));
}

/// Whether one that is out waits for a call, which goes to another.
function isIdle(now) {
  return ({ upstream, endpoint }) => (isUnasked(endpoint) || waitsForCall([endpoint], now) != null) && upstream.endpoints.some(takes);
}

/// Whether each endpoint of a group that isn't well again waits for a call, which goes to another.
function waits(state, group) {
  const upstream = state.upstreams.find((one) => one.name === group.upstream);
  const endpoints = upstream ? upstream.endpoints.filter((one) => group.breaking.includes(one.name)) : [];
  return endpoints.length > 0 && endpoints.every((endpoint) => isIdle(state.now_unix_ms)({ upstream, endpoint }));
}

/// Whether calls are sent there: not only probes.
function takes(endpoint) {
  return takesCalls(endpoint.state) && endpoint.state !== "probing";
}

/// Incidents of one group are told as one; each of them still is one wherever incidents are counted.
export function groups(incidents) {
  const byGroup = new Map();
  for (const one of incidents) {
    const list = byGroup.get(one.group || one.id) || [];
    list.push(one);
    byGroup.set(one.group || one.id, list);
  }
  return [...byGroup.values()].map(together).sort((left, right) =>
    Boolean(left.wellSince) - Boolean(right.wellSince) || right.failed - left.failed || right.met - left.met || left.began - right.began);
}

function together(all) {
  // A call that met the cause at three endpoints is one call: the group counts it once, where a sum would count it three times. Whichever
  // of them changed last has the group's newest count.
  const newest = all.length === 1 ? null : all.reduce((most, one) => ((one.group_calls || one.calls).met > (most.group_calls || most.calls).met ? one : most));
  const { calls, saved_by: savedBy } = newest ? { calls: newest.group_calls || newest.calls, saved_by: newest.group_saved_by || newest.saved_by } : all[0];
  return {
    all, first: all[0], upstream: all[0].upstream, cause: all[0].cause,
    endpoints: all.map((one) => one.endpoint).filter(Boolean).sort(),
    // Those of which nothing says that they are well; all of them, if all are.
    breaking: (all.some((one) => !one.well_since_unix_ms) ? all.filter((one) => !one.well_since_unix_ms) : all).map((one) => one.endpoint).filter(Boolean).sort(),
    lastBreak: Math.max(0, ...all.map((one) => one.last_break_unix_ms || 0)),
    began: Math.min(...all.map((one) => one.began_unix_ms)),
    met: calls.met, saved: calls.saved, failed: calls.failed, savedBy: savedBy || {},
    // All of them are well again, since the last of them is.
    wellSince: all.every((one) => one.well_since_unix_ms) ? Math.max(...all.map((one) => one.well_since_unix_ms)) : null,
    wellBy: all[0].well_by,
    // Of a moment that is past they may not be kept: then they are those of the whole.
    isWhole: Boolean(newest ? newest.isGroupWhole : all[0].isWhole),
  };
}

function ofIncident(state, open, at) {
  const worst = open[0];
  const upstream = state.upstreams.find((one) => one.name === worst.upstream);
  const names = worst.breaking;
  const endpoints = upstream ? upstream.endpoints.filter((one) => names.includes(one.name)) : [];
  const isOut = endpoints.length > 0 && !endpoints.some(takes);
  const isWell = worst.wellSince && !at && endpoints.every(takes);
  const told = isWell ? back(worst) : !at && isQuiet(worst, endpoints, upstream, state.now_unix_ms) ? lastBroke(worst)
    : isCalm(state) && waits(state, worst) ? { text: waiting(worst), next: doing(state, upstream, endpoints, at) } : null;
  const spoken = `${worst.upstream}: ${told ? told.text : `${breaks(worst, isOut)} since ${since(worst.began)} (${worst.cause}${reason(worst, open)})`}`;
  const number = open.reduce((sum, one) => sum + one.all.length, 0);
  const others = number > 1 ? ` ${of(number, "incident")} ${at ? "were" : "are"} open.` : "";
  return {
    tone: !told && (worst.failed > 0 || (upstream && upstream.state === "down") || isOut) ? "bad" : "warn",
    text: `${spoken}; ${costs(worst)}${worst.isWhole && at ? " in all" : ""}.`,
    next: `${told ? told.next : doing(state, upstream, endpoints, at)}${others}`.trim(),
    spoken: `${spoken}.${others}`,
    id: worst.first.id,
  };
}

/// Who breaks: endpoints, or calls that find none.
function breaks(worst, isOut) {
  const many = worst.breaking.length > 1;
  if (worst.breaking.length === 0) return "calls find no endpoint";
  return `${who(worst)}${isOut ? (many ? " are down" : " is down") : many ? " break" : " breaks"}`;
}

function who(worst) {
  return `${worst.breaking.length > 1 ? "endpoints" : "endpoint"} ${named(worst.breaking)}`;
}

/// Why breakers are open is what broke at the endpoints.
function reason(worst, open) {
  const why = worst.endpoints.length === 0 && worst.cause === "breaker-open" && open.find((one) => one.upstream === worst.upstream && one.endpoints.length > 0);
  return why ? `: ${why.cause} at ${named(why.breaking)}` : "";
}

function back(worst) {
  const by = worst.breaking.length === 1 ? `: ${ended(worst.wellBy)}` : "";
  const what = worst.breaking.length === 0 ? "calls find an endpoint again" : `${who(worst)} ${worst.breaking.length > 1 ? "are" : "is"} back`;
  return {
    text: `${what} since ${since(worst.wellSince)}${by} (${worst.cause} from ${since(worst.began)} on)`,
    next: "It is over once nothing has broken there for some seconds.",
  };
}

/// Nothing has broken for so long where calls may go, and too little is asked there to say that it is well.
const QUIET_MS = 10_000;

function isQuiet(worst, endpoints, upstream, now) {
  const may = endpoints.length > 0 ? endpoints.every(takes) : Boolean(upstream) && worst.breaking.length === 0 && upstream.endpoints.some(takes);
  return may && worst.lastBreak > 0 && now - worst.lastBreak >= QUIET_MS;
}

function waiting(worst) {
  return `${who(worst)} ${worst.breaking.length > 1 ? "wait" : "waits"} for a call to probe with (${worst.cause} from ${since(worst.began)} on)`;
}

function lastBroke(worst) {
  const what = worst.breaking.length === 0 ? "calls last found no endpoint" : `${who(worst)} last broke`;
  return {
    text: `${what} at ${since(worst.lastBreak)} (${worst.cause} from ${since(worst.began)} on)`,
    next: "It is over once nothing has broken there for a while.",
  };
}

/// A sentence holds a few names.
function named(names) {
  return list(names.length > 4 ? [...names.slice(0, 4), `${names.length - 4} more`] : names);
}

/// "1,284 calls saved by failover, 0 failed"; by several: "5 calls saved (3 by healing, 2 by failover), 1 failed".
export function costs(one) {
  const by = savedBy(one.savedBy || one.saved_by, count);
  const saved = one.saved ?? one.calls.saved;
  const failed = one.failed ?? one.calls.failed;
  const how = by.length === 1 ? ` by ${by[0][0]}` : by.length > 1 ? ` (${by.map(([cause, number]) => `${number} by ${cause}`).join(", ")})` : "";
  return `${of(saved, "call")} saved${how}, ${count(failed)} failed`;
}

function doing(state, upstream, endpoints, at) {
  if (!upstream) return "";
  const names = new Set(endpoints.map((one) => one.name));
  const usable = upstream.endpoints.filter((one) => takes(one) && !names.has(one.name));
  const breaking = endpoints.filter(takes);
  const asked = usable.filter((one) => one.last_s && one.last_s.attempts > 0);
  const tier = Math.min(...usable.map((one) => one.tier));
  const shown = (asked.length > 0 ? asked : usable.filter((one) => one.tier === tier)).map((one) => one.name);
  const elsewhere = shown.length > 4 ? `${shown.length} other endpoints` : list(shown);
  const probe = nextProbe(endpoints, state.now_unix_ms);
  if (usable.length === 0 && breaking.length === 0) {
    return waitsForCall(endpoints, state.now_unix_ms) ? `No endpoint of ${upstream.name} is known to be well.${probe}`
      : `No endpoint of ${upstream.name} can be used: its calls wait for a moment, and fail with the time to come back.${probe}`;
  }
  if (usable.length === 0) return "There is no other endpoint: calls are tried again there, as far as that is safe and the budget allows.";
  const was = at ? "went" : "go";
  return breaking.length > 0 && breaking.length === endpoints.length
    ? `What ${at ? "broke went" : "breaks goes"} on to ${elsewhere}, where that ${at ? "was" : "is"} safe.`
    : `Calls ${was} to ${elsewhere}.${probe}`;
}

function nextProbe(endpoints, now) {
  const breakers = endpoints.map((one) => one.breaker).filter(Boolean);
  const half = breakers.filter((one) => one.state === "half-open");
  if (half.some((one) => one.probing !== 0)) return " A probe is out now.";
  if (half.length > 0) return " The next call there is a probe.";
  const waits = waitsForCall(endpoints, now);
  if (waits) return ` Nobody has asked there since ${since(waits)}, when it might be probed again: the next call is its probe.`;
  const until = breakers.map((one) => one.until_unix_ms).filter(Boolean);
  return until.length === 0 ? "" : ` Next probe in ${left(Math.min(...until) - now)}.`;
}

/// Whether its breaker would let probes through, and no call comes there. Between two probes there is a moment, too.
function isUnasked(one) {
  const it = one.breaker;
  return one.state === "probing" && it && it.state === "half-open" && it.probing === 0 && Boolean(one.last_s) && one.last_s.attempts === 0;
}

/// So late, and what is due isn't on its way: there is nobody who asks.
const LATE_MS = 2000;

/// Since when an open breaker would let a probe through, if none has come; nothing can be learned of such an endpoint meanwhile.
export function waitsForCall(endpoints, now) {
  const due = endpoints.map((one) => one.breaker && one.breaker.state === "open" && one.breaker.until_unix_ms).filter((until) => until && until + LATE_MS <= now);
  return due.length > 0 ? Math.min(...due) : null;
}

function ofEndpoints(state, out, all) {
  const ordered = out.filter(({ endpoint }) => endpoint.ordered !== "auto" || kind(endpoint.state) === "off");
  const shown = ordered.length === out.length ? ordered : out.filter((one) => !ordered.includes(one));
  const { upstream, endpoint } = shown[0];
  const cause = endpoint.ejected && endpoint.ejected.cause ? ` (${endpoint.ejected.cause})` : endpoint.check && endpoint.check.code ? ` (${endpoint.check.code})` : "";
  const begun = endpoint.since_unix_ms ? ` since ${since(endpoint.since_unix_ms)}` : "";
  const waits = waitsForCall([endpoint], state.now_unix_ms);
  const told = endpoint.state === "open" ? "out, by its breaker," : isUnasked(endpoint) ? "half-open" : word(endpoint.state);
  const idle = isUnasked(endpoint) ? ", and nobody asks it: the next call there is a probe" : waits ? `, and nobody has asked it since ${since(waits)}: the next call there is a probe` : "";
  const text = `${upstream.name}: endpoint ${endpoint.name} is ${told}${begun}${cause}${idle}.`;
  const more = all > 1 ? `${of(all - 1, "more endpoint isn't", "more endpoints aren't")} up. ` : "";
  const { minute } = failures(state);
  const calm = minute > 0 ? `No incident is open, but ${of(minute, "call")} failed in the last minute.` : "No incident is open: calls aren't broken by it now.";
  return { tone: kind(endpoint.state) === "off" ? "warn" : kind(endpoint.state) === "probing" ? "warn" : "bad", text, next: `${more}${calm}`, spoken: text };
}

/// Calls of which the application felt what broke, in the last minute and in the last minutes: where it is too little for an incident, too.
export function failures(state) {
  const sum = (of) => state.upstreams.reduce((total, one) => total + (of(one) || 0), 0);
  return {
    minute: sum((one) => broken(one.minute)),
    lately: sum((one) => one.lately && one.lately.broken), calls: sum((one) => one.lately && one.lately.calls),
    minutes: Math.max(0, ...state.upstreams.map((one) => (one.lately ? one.lately.minutes : 0))),
  };
}

/// Without an answer, with a broken one, or with a part of one.
export function broken(counts) {
  return counts ? (counts.failed || 0) + (counts.as_is || 0) + (counts.cut || 0) : 0;
}

function ofPeace(state, incidents, idle, at) {
  const endpoints = state.upstreams.reduce((sum, one) => sum + one.endpoints.length, 0);
  const last = incidents.filter((one) => one.state === "ended").sort((a, b) => b.ended_unix_ms - a.ended_unix_ms)[0];
  const { minute, lately, calls, minutes } = failures(state);
  const long = `${count(lately)} of ${of(calls, "call")} failed in the last ${minutes} minutes`;
  const told = idle.length > 0 ? `; ${named(idle)} ${idle.length > 1 ? "wait" : "waits"} for a call to probe with` : "";
  const text = minute > 0 ? `No incident ${at ? "was" : "is"} open, but ${of(minute, "call")} failed in ${at ? "that" : "the last"} minute.`
    : at ? "All was well." : lately > 0 ? `All is well now; ${long}${told}.` : `All is well${told}.`;
  const more = minute > 0 && !at && lately > minute ? `${long}. ` : "";
  const next = `${more}${of(state.upstreams.length, "upstream")} with ${of(endpoints, "endpoint")}${at ? "" : idle.length > 0 ? ", the others up" : ", each up"}.` + (last
    ? ` The last incident ended ${span((at || state.now_unix_ms) - last.ended_unix_ms)} before${at ? " that" : " now"}: ${last.upstream}${last.endpoint ? `/${last.endpoint}` : ""} (${last.cause}), ${costs(last)}.`
    : ` No incident is kept.`);
  // Numbers that change by themselves aren't read aloud again and again.
  const spoken = minute > 0 ? "No incident is open, but calls failed in the last minute." : "All is well.";
  return { tone: minute > 0 ? "warn" : "good", text, next, spoken, id: minute > 0 ? null : last && last.id };
}
