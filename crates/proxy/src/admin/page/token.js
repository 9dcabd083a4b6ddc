// The admin token: taken from the address once, kept for this tab, sent in a header and nowhere else.

const KEY = "mainstay-token";

/// Takes `#token=...` out of the address, before anything else can see it there.
export function takeFromAddress() {
  const match = /^#token=([^&]*)&?(.*)$/.exec(location.hash);
  if (!match) return;
  try {
    remember(decodeURIComponent(match[1]));
  } catch {
    // Not percent-encoded as it should be: then it is no token of ours.
  }
  history.replaceState(null, "", location.pathname + location.search + (match[2] ? `#${match[2]}` : ""));
}

export function remember(token) {
  if (token) sessionStorage.setItem(KEY, token);
  else sessionStorage.removeItem(KEY);
}

export function token() {
  return sessionStorage.getItem(KEY);
}

/// The headers of a request to the admin address.
export function headers(more) {
  const own = token();
  return { ...(own ? { authorization: `Bearer ${own}` } : {}), ...more };
}

/// Asks the admin address; throws what it said if it refused.
export async function ask(path, options = {}) {
  const response = await fetch(path, {
    ...options,
    headers: headers(options.headers),
    cache: "no-store",
    credentials: "omit",
    referrerPolicy: "no-referrer",
  });
  const text = await response.text();
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // What isn't JSON is told by its status.
  }
  if (!response.ok) throw new Refused(response.status, body, path);
  return body;
}

/// What the admin address said no to.
export class Refused extends Error {
  constructor(status, problem, path) {
    super((problem && (problem.detail || problem.title)) || `${path} answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}
