// The last hour as the timeline shows it: all upstreams added up, a column each ten seconds; and what stood at a time in it.

import { ask } from "./token.js";
import { LETTERS } from "./states.js";
import { SPARK_POINTS, addKeptCalls, incidentList, now, pushSpark, store } from "./store.js";
import { use } from "./resource.js";

const HOUR_MS = 3_600_000;
const EVERY_MS = 10_000;

/// A record is a kilobyte or two.
const MOST_OLD = 500;

/// Pieces of the past are asked for in lengths of ten minutes, so that dragging along doesn't ask for each place.
const PIECE_MS = 600_000;

/// What went before is needed too: rates are those of a minute.
const MINUTE = 6;

/// `columns`: `{ calls, saved, failed }`, or null before anything has come; the last one is counted until `seen`.
export const overview = { bucketMs: EVERY_MS, from: 0, seen: 0, columns: null, error: null };

let changed = () => {};

export function startHistory(told) {
  changed = told;
  refresh();
  setInterval(() => document.visibilityState === "visible" && refresh(), EVERY_MS);
  // What wasn't looked at wasn't asked for: whoever comes back sees it at once as it is.
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && refresh());
}

export async function refresh() {
  // What is there already isn't asked for again, but for the last column, which wasn't full.
  const last = overview.columns ? overview.from + (overview.columns.calls.length - 1) * overview.bucketMs : 0;
  const since = last > now() - HOUR_MS ? last - overview.bucketMs : 0;
  try {
    merge(await ask(since ? `/timeline?from=${Math.floor(since)}` : "/timeline"));
    overview.error = null;
  } catch (error) {
    overview.error = error;
  }
  changed();
}

function merge(doc) {
  const news = added(doc);
  overview.seen = now();
  const before = overview.columns;
  const shift = before ? Math.round((doc.from_unix_ms - overview.from) / doc.bucket_ms) : -1;
  if (!before || shift < 0 || shift > before.calls.length || doc.bucket_ms !== overview.bucketMs) {
    Object.assign(overview, { bucketMs: doc.bucket_ms, from: doc.from_unix_ms, columns: news });
  } else {
    const columns = {};
    for (const name of Object.keys(news)) columns[name] = [...before[name].slice(0, shift), ...news[name]];
    const over = Math.max(0, columns.calls.length - HOUR_MS / doc.bucket_ms - 1);
    for (const name of Object.keys(columns)) columns[name] = columns[name].slice(over);
    overview.columns = columns;
    overview.from += over * doc.bucket_ms;
  }
  for (const change of doc.changes || []) if (!store.changes.has(change.seq)) store.changes.set(change.seq, change);
}

function added(doc) {
  const sum = (lists) => {
    const all = lists.filter(Boolean);
    return Array.from({ length: doc.buckets }, (_, place) =>
      all.reduce((total, list) => (list[place] == null ? total : (total || 0) + list[place]), null));
  };
  const upstreams = doc.upstreams;
  return {
    calls: sum(upstreams.map((one) => one.calls)),
    // What was delivered broken, as it was, failed for the application too.
    failed: sum(upstreams.flatMap((one) => [one.failed, one.as_is])),
    saved: sum(upstreams.flatMap((one) => Object.values(one.saved || {}))),
  };
}

/// The span that can be scrolled over.
export function keptSpan() {
  const to = now();
  const { kept } = store.hello || {};
  const begin = overview.columns ? overview.from : to - HOUR_MS;
  return [Math.max(begin, to - HOUR_MS, kept ? kept.from_unix_ms - EVERY_MS : 0), to];
}

/// The small latency lines begin with what the history has, for upstreams that are small enough to ask for.
export async function seedSparks() {
  if (!store.state) return;
  for (const upstream of store.state.upstreams) {
    if (upstream.endpoints.length > 200) continue;
    try {
      const from = Math.floor(now() - SPARK_POINTS * EVERY_MS);
      const doc = await ask(`/timeline?upstream=${encodeURIComponent(upstream.name)}&from=${from}&fields=p99_ms`);
      for (const endpoint of (doc.upstreams[0] || { endpoints: [] }).endpoints) {
        const key = `${upstream.name}/${endpoint.name}`;
        const live = store.sparks.get(key) || [];
        store.sparks.delete(key);
        for (const value of [...endpoint.p99_ms.slice(0, -1), ...live]) pushSpark(key, value);
      }
    } catch {
      // They fill up by themselves.
    }
  }
  changed();
}

let loadedOldAt = -Infinity;

/// Calls that broke before this page was opened, as far as the admin address keeps them; asked for when the past is looked at.
export async function loadOld(everyMs = 60_000) {
  if (performance.now() - loadedOldAt < everyMs) return;
  loadedOldAt = performance.now();
  try {
    addKeptCalls((await ask(`/calls?limit=${MOST_OLD}`)).calls.map(row));
    changed();
  } catch {
    // Then what the stream told is all there is.
  }
}

/// A record as a row of the feed.
function row(call) {
  const breaks = call.attempts.filter((attempt) => attempt.code);
  return {
    id: call.id, at_unix_ms: call.started_unix_ms + (call.took_ms || 0), upstream: call.upstream, route: call.route, method: call.method, path: call.path,
    outcome: call.outcome, status: call.status, saved: call.saved || (call.healed ? "heal" : null), code: call.code, stopped: call.stopped, degraded: call.degraded || null,
    failed: call.outcome !== "delivered" || (call.body_broke != null && !call.healed && call.body_broke !== "client-gone"),
    took_ms: call.took_ms, waited_ms: waited(call), attempts: call.attempts.length, breaks,
  };
}

/// For how long it waited for a breaker that lets it through.
function waited(call) {
  const waits = (call.holds || []).filter((hold) => hold.by === "breaker" && hold.for_ms != null);
  return waits.length > 0 ? waits.reduce((sum, hold) => sum + hold.for_ms, 0) : null;
}

/// Why a moment that was asked for can't be had.
export let momentError = null;

/// What is known of a moment, in the form that the stream has for now; `null` while it is being asked for, or can't be had: `momentError` says why.
export function stateAt(at) {
  if (!store.state) return null;
  const piece = Math.floor(at / PIECE_MS) * PIECE_MS;
  const upstreams = [];
  let why = null;
  for (const upstream of store.state.upstreams) {
    const name = encodeURIComponent(upstream.name);
    const from = piece - MINUTE * EVERY_MS;
    const doc = use(`/timeline?upstream=${name}&from=${from}&to=${piece + PIECE_MS}`, 30_000);
    if (!doc.data) {
      why = why || doc.error;
      continue;
    }
    const found = doc.data.upstreams.find((one) => one.name === upstream.name);
    if (found) upstreams.push(upstreamAt(doc.data, found, upstream, at));
  }
  momentError = why;
  if (upstreams.length === 0 && store.state.upstreams.length > 0) return null;
  return { ...store.state, now_unix_ms: at, past: true, draining: false, calls_in_progress: null, connections: null, outbox: store.state.outbox, upstreams };
}

function upstreamAt(doc, past, live, at) {
  const place = Math.min(doc.buckets - 1, Math.max(0, Math.floor((at - doc.from_unix_ms) / doc.bucket_ms)));
  const first = Math.max(0, place - MINUTE + 1);
  const total = (list) => (list ? list.slice(first, place + 1).reduce((sum, value) => sum + (value || 0), 0) : 0);
  const calls = total(past.calls);
  const failed = total(past.failed);
  const delivered = total(past.delivered);
  const asIs = total(past.as_is);
  const tiers = new Map(live.endpoints.map((endpoint) => [endpoint.name, endpoint]));
  const endpoints = (past.endpoints || []).map((one) => endpointAt(doc, one, tiers.get(one.name), { upstream: live.name, at, place, total }));
  const out = endpoints.filter((endpoint) => !["up", "warming", "forced-closed", "unknown"].includes(endpoint.state));
  return {
    ...live,
    state: out.length === 0 ? "up" : out.length === endpoints.length ? "down" : "degraded",
    minuteEnd: doc.from_unix_ms + (place + 1) * doc.bucket_ms,
    rate: past.calls[place] == null ? null : past.calls[place] / (doc.bucket_ms / 1000),
    last_s: null,
    minute: {
      calls, failed, delivered, as_is: asIs,
      success: delivered + failed + asIs > 0 ? delivered / (delivered + failed + asIs) : null,
      amplification: past.amplification ? past.amplification[place] : null,
      saved: Object.fromEntries(Object.entries(past.saved || {}).map(([cause, list]) => [cause, total(list)])),
    },
    total: null,
    budget: { ...live.budget, tokens: null, level: past.budget ? past.budget[place] : null },
    load: null,
    endpoints,
  };
}

/// When an endpoint ceased to be up in the column at `from`: a change says it to the second, and nothing else does of the column of the
/// moment itself.
function leftAt(upstream, endpoint, from, at) {
  const until = Math.min(from + EVERY_MS, at);
  for (const one of store.changes.values()) {
    if (one.endpoint === endpoint && one.upstream === upstream && LEAVES.has(one.event) && one.at_unix_ms >= from && one.at_unix_ms <= until) return one.at_unix_ms;
  }
  return at - from < EVERY_MS ? null : from;
}

/// Changes after which an endpoint isn't up.
const LEAVES = new Set(["breaker-opened", "breaker-half-opened", "endpoint-unhealthy", "endpoint-ejected", "endpoint-throttled"]);

function endpointAt(doc, past, live, { upstream, at, place, total }) {
  const state = LETTERS[past.state ? past.state[place] : "-"] || "unknown";
  const begin = doc.from_unix_ms;
  let since = place;
  while (since > 0 && past.state && past.state[since - 1] === past.state[place]) since -= 1;
  const attempts = total(past.attempts);
  const broke = total(past.broke);
  const cause = past.cause ? past.cause.slice(Math.max(0, place - MINUTE + 1), place + 1).filter(Boolean).pop() : null;
  return {
    name: past.name, tier: live ? live.tier : 0, state, gone: past.gone,
    since_unix_ms: since === 0 ? null : state === "up" ? begin + since * doc.bucket_ms : leftAt(upstream, past.name, begin + since * doc.bucket_ms, at),
    ordered: "auto", breaker: null, check: null, ejected: null, healthy: state !== "unhealthy", throttled_until_unix_ms: null, warm_percent: 100,
    latency: { p50_ms: past.p50_ms ? past.p50_ms[place] : null, p99_ms: past.p99_ms ? past.p99_ms[place] : null },
    in_flight: past.in_flight ? past.in_flight[place] : null,
    last_s: { attempts: past.attempts && past.attempts[place] != null ? past.attempts[place] / (doc.bucket_ms / 1000) : null },
    minute: { attempts, broke, success: attempts > 0 ? (attempts - broke) / attempts : null, breaks: cause && broke ? { [cause]: broke } : {} },
    connections: null,
    spark: past.p99_ms ? past.p99_ms.slice(Math.max(0, place - SPARK_POINTS + 1), place + 1) : [],
  };
}

/// Incidents as they stood at a time; all of them for now.
export function incidentsAt(at) {
  const all = incidentList();
  if (at == null) return all;
  return all.filter((one) => one.began_unix_ms <= at).map((one) => (one.ended_unix_ms != null && one.ended_unix_ms <= at ? one : incidentAt(one, at)));
}

/// One that was open at a time, with the counts of then where they are kept: `isWhole`, and `isGroupWhole` of its group's, say that they
/// are those of all of it.
export function incidentAt(one, at) {
  const doc = use("/incidents?past=true", 15_000).data;
  const named = (id) => (doc && doc.incidents.find((other) => other.id === id)) || {};
  const own = momentAt(named(one.id).past, at);
  const group = momentAt(named(one.group).group_past, at);
  return {
    ...one, state: "open", wasOpen: true, ended_by: null, ended_unix_ms: null, well_since_unix_ms: null, lasted_ms: at - one.began_unix_ms,
    isWhole: !own, isGroupWhole: !group,
    ...(own ? { calls: own.calls, saved_by: own.saved_by } : {}),
    ...(group ? { group_calls: group.calls, group_saved_by: group.saved_by } : {}),
  };
}

/// It was so until the next one.
function momentAt(moments = [], at) {
  return moments.filter((one) => one.at_unix_ms <= at).pop() || moments[0];
}
