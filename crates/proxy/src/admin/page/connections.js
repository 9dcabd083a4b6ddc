// Each open connection to the upstreams, as the pool and the system see it.

import { h } from "./dom.js";
import { use } from "./resource.js";
import { filter, place } from "./route.js";
import { select } from "./feed.js";
import { table } from "./table.js";
import { endpointLink, waiting } from "./widgets.js";
import { bytes, count, ms } from "./words.js";

export function connectionsView({ state, at }) {
  const wanted = place.query.get("upstream") || "";
  const set = (event) => { filter({ upstream: event.target.value }); dispatchEvent(new Event("mainstay-redraw")); };
  const own = state.connections;
  return [
    h("div", { class: "title" }, h("h1", null, "Connections"),
      h("p", { class: "quiet num" }, own ? `${count(own.open)} of applications are open, ${count(own.parked)} of them quiet, of at most ${count(own.limit)}. ` : "", "Below are those to the upstreams.")),
    at ? h("div", { class: "card empty" }, "Connections are known for now only, not for the past.") : [
      h("div", { class: "bar" }, select("Upstream", wanted, state.upstreams.map((one) => one.name), set)),
      connectionTable(wanted ? `/connections?upstream=${encodeURIComponent(wanted)}` : "/connections", "connections")],
  ];
}

export function connectionTable(path, id) {
  const entry = use(path, 3000);
  return waiting(entry, "Connections") || table({
    id, label: "Connections to the upstreams", height: 40, narrow: 116, empty: "No connection is open.",
    columns: [
      { title: "Id", width: "64px", class: "num dim" },
      { title: "Endpoint", width: "minmax(130px, 1.2fr)", class: "lead" },
      { title: "Peer", width: "minmax(130px, 1.2fr)", class: "mono" },
      { title: "Protocol", width: "92px" },
      { title: "State", width: "110px" },
      { title: "Age", width: "80px", class: "num right" },
      { title: "Requests", width: "80px", class: "num right" },
      { title: "Sent, received", width: "150px", class: "num right wide-only" },
      { title: "Round trip", width: "84px", class: "num right" },
      { title: "Sent again", width: "84px", class: "num right wide-only" },
    ],
    rows: entry.data.connections,
    row: (one) => ({
      key: String(one.id),
      memo: [one],
      body: () => [
        String(one.id),
        h("span", { class: "cut" }, endpointLink(one.upstream, one.endpoint, `${one.upstream} / ${one.endpoint}`)),
        h("span", { class: "cut" }, one.peer || "–"),
        `${one.protocol}${one.tls ? " TLS" : ""}`,
        one.state === "idle" ? `idle ${ms(one.idle_ms)}` : one.streams > 1 ? `${one.state}, ${one.streams} streams` : one.state,
        ms(one.age_ms),
        count(one.requests),
        `${bytes(one.bytes_sent)}, ${bytes(one.bytes_received)}`,
        ms(one.rtt_ms ?? one.ping_ms),
        one.retransmits == null ? "–" : count(one.retransmits),
      ],
    }),
  });
}
