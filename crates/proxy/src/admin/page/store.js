// What the page knows: kept up to date by the stream, bounded whatever comes.

/// Rows of the feed that are kept. A row is a few hundred bytes.
const MOST_CALLS = 2000;
const MOST_CHANGES = 2000;
const MOST_INCIDENTS = 400;

/// Points of the small latency lines: one each ten seconds, ten minutes.
export const SPARK_POINTS = 60;
const SPARK_MS = 10_000;

export const store = {
  /// `connecting`, `live` or `broken`; since when, and why.
  link: { state: "connecting", since: Date.now(), why: "", status: 0, retryAt: 0 },
  hello: null,
  /// The admin address's clock minus ours.
  skew: 0,
  state: null,
  /// When the last `state` came, by our clock.
  stateAt: 0,
  /// Newest first.
  calls: [],
  callsSeen: 0,
  /// Calls that the stream left out since then, and that aren't here by another way.
  leftOut: 0,
  leftOutSince: Date.now(),
  /// By their numbers, oldest first.
  changes: new Map(),
  incidents: new Map(),
  /// By "upstream/endpoint": the last p99s, one each ten seconds.
  sparks: new Map(),
  sparkAt: 0,
};

/// The time there, now.
export function now() {
  return Date.now() + store.skew;
}

/// Takes in one event of the stream.
export function take(name, data) {
  switch (name) {
    case "hello": return hello(data);
    case "state": return state(data);
    case "calls": return calls(data);
    case "changes": return changes(data);
    case "incidents": return incidents(data);
    case "lost": return;
    // Whatever a newer Mainstay tells.
    default:
  }
}

function hello(data) {
  // Another process: what was told of the old one doesn't belong to it.
  if (store.hello && store.hello.boot !== data.boot) {
    store.changes.clear();
    store.incidents.clear();
    store.sparks.clear();
    store.calls = [];
    store.leftOut = 0;
  }
  if (!store.hello) store.leftOutSince = data.now_unix_ms;
  store.hello = data;
  store.skew = data.now_unix_ms - Date.now();
}

function state(data) {
  store.stateAt = Date.now();
  store.skew = data.now_unix_ms - Date.now();
  if (data.full || !store.state) {
    // Nothing is counted by the second before somebody looks: the first of them are unknown, not nought.
    for (const upstream of data.upstreams) if (upstream.last_s && upstream.last_s.calls === 0) upstream.last_s = null;
    for (const { endpoints } of data.upstreams) for (const one of endpoints) if (one.last_s && one.last_s.attempts === 0) one.last_s = null;
    store.state = data;
  } else {
    const { upstreams, ...rest } = data;
    const merged = { ...store.state, ...rest };
    if (upstreams && upstreams.length > 0) merged.upstreams = mergeUpstreams(store.state.upstreams, upstreams);
    store.state = merged;
  }
  sample();
}

/// What didn't change stays the very same object, so that views can tell.
function mergeUpstreams(before, news) {
  const byName = new Map(news.map((one) => [one.name, one]));
  return before.map((upstream) => {
    const one = byName.get(upstream.name);
    if (!one) return upstream;
    const { endpoints, ...rest } = one;
    const merged = { ...upstream, ...rest };
    if (endpoints && endpoints.length > 0) {
      const changed = new Map(endpoints.map((endpoint) => [endpoint.name, endpoint]));
      merged.endpoints = upstream.endpoints.map((endpoint) => {
        const more = changed.get(endpoint.name);
        return more ? { ...endpoint, ...more } : endpoint;
      });
    }
    return merged;
  });
}

function sample() {
  const at = now();
  if (at - store.sparkAt < SPARK_MS) return;
  store.sparkAt = at;
  const known = new Set();
  for (const upstream of store.state.upstreams) {
    for (const endpoint of upstream.endpoints) {
      const key = `${upstream.name}/${endpoint.name}`;
      known.add(key);
      pushSpark(key, endpoint.latency && endpoint.latency.p99_ms);
    }
  }
  for (const key of store.sparks.keys()) if (!known.has(key)) store.sparks.delete(key);
}

export function pushSpark(key, value) {
  // A new list each time: views compare by identity.
  const values = (store.sparks.get(key) || []).slice(-(SPARK_POINTS - 1));
  values.push(value ?? null);
  store.sparks.set(key, values);
}

function calls(data) {
  store.leftOut += data.left_out || 0;
  const rows = data.calls || [];
  store.callsSeen += rows.length;
  if (rows.length > 0) addCalls(rows);
}

/// Adds rows, the newest first; those that are here already are left out. Tells which are new.
function addCalls(rows) {
  const known = new Set(store.calls.map((row) => row.id));
  const news = rows.filter((row) => !known.has(row.id));
  if (news.length === 0) return news;
  const all = [...news, ...store.calls].sort((left, right) => right.at_unix_ms - left.at_unix_ms);
  store.calls = all.slice(0, MOST_CALLS);
  return news;
}

/// What the stream would still tell of is as old as that at most.
const STREAM_MS = 2000;

/// Adds rows that were asked for. What the stream had left out isn't left out any more.
export function addKeptCalls(rows) {
  const found = addCalls(rows).filter((row) => row.at_unix_ms >= store.leftOutSince && row.at_unix_ms < now() - STREAM_MS);
  store.leftOut = Math.max(0, store.leftOut - found.length);
}

function changes(data) {
  for (const change of data.changes || []) store.changes.set(change.seq, change);
  trim(store.changes, MOST_CHANGES);
}

function incidents(data) {
  for (const incident of data.incidents || []) {
    // Set anew, so that the order is that of their last news.
    store.incidents.delete(incident.id);
    store.incidents.set(incident.id, incident);
  }
  if (store.incidents.size > MOST_INCIDENTS) {
    for (const [id, incident] of store.incidents) {
      if (store.incidents.size <= MOST_INCIDENTS) break;
      if (incident.state === "ended") store.incidents.delete(id);
    }
  }
}

function trim(map, most) {
  while (map.size > most) map.delete(map.keys().next().value);
}

/// All incidents, the newest first.
export function incidentList() {
  return [...store.incidents.values()].sort((left, right) => right.began_unix_ms - left.began_unix_ms);
}

/// A state comes each second; after that long without one, something is wrong.
export const SILENCE_MS = 5000;

/// For how long nothing was told.
export function lostFor() {
  return Date.now() - store.stateAt;
}

/// Whether the connection to Mainstay is broken, so that nobody knows how it is now.
export function isLost() {
  return store.link.state === "broken" && lostFor() > SILENCE_MS;
}
