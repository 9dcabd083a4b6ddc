// Where the page is: `#/endpoint/payments/a?at=1795743000000`. Each view and each moment has an address.

export const place = { parts: [], at: null, query: new URLSearchParams() };

/// Reads the address.
export function readPlace() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  place.parts = path.split("/").filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  place.query = new URLSearchParams(query || "");
  const at = Number(place.query.get("at"));
  place.at = Number.isFinite(at) && at > 0 ? at : null;
}

/// The address of a view, at the moment that is shown.
export function to(...parts) {
  return address(parts, place.at);
}

/// The address of a view at a moment; `null` is now.
export function address(parts, at, query = {}) {
  const all = new URLSearchParams(query);
  if (at) all.set("at", String(Math.round(at)));
  const text = all.toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/// The same view at another moment. Dragging along doesn't fill the browser's history.
export function goTo(at) {
  // Another view may have been gone to just now, of which the browser tells later.
  readPlace();
  const query = Object.fromEntries([...place.query].filter(([name]) => name !== "at"));
  history.replaceState(null, "", address(place.parts, at, query));
  readPlace();
}

/// The same view with another filter.
export function filter(changes) {
  readPlace();
  const query = Object.fromEntries([...place.query].filter(([name]) => name !== "at"));
  for (const [name, value] of Object.entries(changes)) {
    if (value) query[name] = value;
    else delete query[name];
  }
  history.replaceState(null, "", address(place.parts, place.at, query));
  readPlace();
}
