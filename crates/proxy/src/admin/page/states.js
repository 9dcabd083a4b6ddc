// What the words of the admin address for states mean to a person, and how they are drawn.

import { h } from "./dom.js";
import { shape } from "./icons.js";

/// By state: shape and colour, the word shown, and whether calls are sent there.
const STATES = {
  up: ["good", "up", true],
  warming: ["warn", "warming up", true],
  throttled: ["warn", "throttled", false],
  probing: ["probing", "probing", true],
  open: ["bad", "breaker open", false],
  ejected: ["bad", "ejected", false],
  unhealthy: ["bad", "unhealthy", false],
  drained: ["off", "drained", false],
  "forced-open": ["off", "forced open", false],
  "forced-closed": ["warn", "forced closed", true],
  degraded: ["warn", "degraded", true],
  down: ["bad", "down", false],
  unknown: ["off", "unknown", false],
};

/// The letters of a timeline.
export const LETTERS = {
  u: "up", t: "throttled", w: "warming", p: "probing", o: "open", e: "ejected", x: "unhealthy", d: "drained", f: "forced-open", c: "forced-closed", "-": "unknown",
};

export function kind(state) {
  return (STATES[state] || STATES.unknown)[0];
}

export function word(state) {
  return (STATES[state] || [0, state])[1];
}

export function takesCalls(state) {
  return (STATES[state] || STATES.unknown)[2];
}

/// The class of colour of a kind.
export function tone(state) {
  const one = kind(state);
  return one === "probing" ? "warn" : one;
}

export function state(name, more) {
  return h("span", { class: `state ${tone(name)}` }, shape(kind(name)), word(name), more);
}

/// The order in which a person should look: what is broken first.
const ORDER = ["bad", "probing", "warn", "off", "good"];

function urgency(left, right) {
  return left.tier - right.tier || ORDER.indexOf(kind(left.state)) - ORDER.indexOf(kind(right.state)) || NAMES.compare(left.name, right.name);
}

/// node-2 before node-10.
const NAMES = new Intl.Collator("en", { numeric: true });

const sorted = new WeakMap();

/// Endpoints of an upstream in that order. A list that is the same is sorted once: frames come more often than news.
export function byUrgency(endpoints) {
  let order = sorted.get(endpoints);
  if (!order) sorted.set(endpoints, (order = [...endpoints].sort(urgency)));
  return order;
}

const SAVED = { retry: "retry", failover: "failover", hedge: "hedge", heal: "healing" };

/// "1,280 by failover, 4 by retry", of those that aren't none; the largest first.
export function savedBy(by, count) {
  return Object.entries(by || {}).filter(([, number]) => number > 0).sort((left, right) => right[1] - left[1] || (left[0] < right[0] ? -1 : 1))
    .map(([cause, number]) => [SAVED[cause] || cause, count(number)]);
}

const CHANGES = {
  "breaker-opened": "breaker opened",
  "breaker-half-opened": "breaker lets probes through",
  "breaker-closed": "breaker closed",
  "endpoint-ejected": "ejected",
  "endpoint-returned": "taken back after its ejection",
  "endpoint-unhealthy": "health check failed",
  "endpoint-healthy": "health check passes again",
  "endpoint-throttled": "asked to be left alone",
  "failed-open": "every endpoint is out: asked all the same",
  "addresses-changed": "addresses changed",
  "addresses-kept": "name no longer resolves: old addresses kept",
  "certificate-expiring": "certificate ends soon",
  ordered: "order",
  reloaded: "settings read again",
  "incident-began": "incident began",
  "incident-ended": "incident ended",
};

export function change(event) {
  return CHANGES[event] || event;
}

const GOOD = new Set(["breaker-closed", "endpoint-returned", "endpoint-healthy", "incident-ended"]);
const CALM = new Set(["addresses-changed", "reloaded", "ordered"]);

export function changeKind(event) {
  if (GOOD.has(event)) return "good";
  if (CALM.has(event)) return "off";
  return event === "breaker-half-opened" ? "probing" : event === "endpoint-throttled" || event === "certificate-expiring" ? "warn" : "bad";
}

const ENDS = {
  "breaker-closed": "its breaker closed again",
  "check-passed": "its health check passed again",
  answers: "it answered again",
  quiet: "nothing had broken there for a while",
  removed: "it left the settings",
};

export function ended(by) {
  return ENDS[by] || by || "";
}

const BEGINS = { breaks: "several breaks in a short time", "breaker-opened": "its breaker opened", "check-failed": "its health check failed" };

export function began(by) {
  return BEGINS[by] || by || "";
}

/// What was decided after a break, in a few words.
const DECISIONS = {
  failover: "on to another endpoint",
  retry: "another attempt",
  resume: "continued",
  "outcome-unknown": "not repeated: it may have been done",
  "not-declared-idempotent": "not repeated: not declared idempotent",
  "body-unrepeatable": "not repeated: its body can't be sent again",
  "attempts-used": "given up: attempts used",
  "budget-empty": "given up: budget empty",
  "deadline-too-close": "given up: too little time left",
  "deadline-passed": "given up: out of time",
  "no-endpoint": "given up: no endpoint may be asked",
  "reply-started": "cut: the answer was on its way",
  "breaker-open": "given up: breakers are open",
};

export function decided(decision) {
  return DECISIONS[decision] || decision || "";
}
