// Documents of the admin address that a view asks for while it is shown.

import { ask } from "./token.js";

/// More are never kept, and none that no view has asked for so long; the longest first. A moment of the past needs one for each upstream.
const MOST = 256;
const UNUSED_MS = 60_000;

const entries = new Map();
let changed = () => {};

/// Whom to tell when something has come.
export function onResource(told) {
  changed = told;
}

/// The document at `path`: `{ data, error }`. It is asked for at the first use, and again by a use that finds it older than
/// `everyMs`; the old one is shown meanwhile.
export function use(path, everyMs = Infinity) {
  let entry = entries.get(path);
  if (!entry) {
    entry = { data: null, error: null, at: -Infinity, usedAt: 0, busy: false };
    for (const [other, { usedAt }] of entries) {
      if (entries.size < MOST && performance.now() - usedAt < UNUSED_MS) break;
      entries.delete(other);
    }
  }
  entry.usedAt = performance.now();
  entries.delete(path);
  entries.set(path, entry);
  // What was refused is asked for again too, but not at once.
  const wait = entry.error ? Math.max(5000, Math.min(everyMs, 60_000)) : everyMs;
  if (!entry.busy && performance.now() - entry.at >= wait) load(path, entry);
  return entry;
}

async function load(path, entry) {
  entry.busy = true;
  try {
    entry.data = await ask(path);
    entry.error = null;
  } catch (error) {
    entry.error = error;
  }
  entry.at = performance.now();
  entry.busy = false;
  changed();
}

/// Asks anew for everything that begins so, at its next use.
export function stale(prefix) {
  for (const [path, entry] of entries) if (path.startsWith(prefix)) entry.at = -Infinity;
  changed();
}
