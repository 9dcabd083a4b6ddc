// Stored writes: lanes that are held, those that are stopped or dead, those that wait; and what a person can decide.

import { h } from "./dom.js";
import { shape } from "./icons.js";
import { DELIVERY_ORDERS, deliveryDialog, laneDialog } from "./actions.js";
import { use } from "./resource.js";
import { filter, place, to } from "./route.js";
import { select } from "./feed.js";
import { table } from "./table.js";
import { fact, time, waiting } from "./widgets.js";
import { bytes, count, ms, of, span } from "./words.js";

const REASONS = {
  "maybe-done": "it may have been carried out, and must not be sent twice",
  "no-route": "no route of the settings takes it any more",
  damaged: "what is on the disk doesn't match its checksum",
  rejected: "the destination turned it down for good",
  expired: "it couldn't be delivered in its time",
  exhausted: "every call that its schedule allows was made",
  dropped: "a person gave it up",
};

const KINDS = { waiting: "off", stopped: "warn", delivered: "good", dead: "bad" };

/// While the outbox can't be asked, nobody knows how many there are.
const counted = (number) => (number == null ? "–" : count(number));

export function outboxView({ state, at, parts }) {
  if (state.outbox === null || state.outbox === undefined) {
    return [h("div", { class: "title" }, h("h1", null, "Outbox")), h("div", { class: "card empty" }, h("strong", null, "No outbox is set up"), "With [outbox] and a route that stores, writes that can't be delivered now are kept until they can.")];
  }
  if (parts[1]) return deliveryView(parts[1], state);
  const it = state.outbox;
  const wanted = place.query.get("state") || "";
  const set = (event) => { filter({ state: event.target.value }); dispatchEvent(new Event("mainstay-redraw")); };
  const lanes = use("/outbox/lanes", 4000);
  const list = use(`/outbox?limit=200${wanted ? `&state=${wanted}` : "&state=stopped&state=dead&state=waiting"}`, 4000);
  const figure = (name, value, note, tone) => h("div", { class: "figure" }, h("dt", null, name), h("dd", { class: tone || "" }, value, note ? h("div", { class: "note" }, note) : null));
  return [
    h("div", { class: "title" }, h("h1", null, "Outbox"), h("p", { class: "quiet" }, "Writes that couldn't be delivered at once, kept on the disk until they are.", at ? " This is how it is now: its past isn't kept." : "")),
    h("dl", { class: "figures" },
      figure("Waiting", counted(it.waiting), it.waiting == null ? "the outbox can't be asked" : it.oldest_waiting_unix_ms ? `the oldest for ${span(state.now_unix_ms - it.oldest_waiting_unix_ms)}` : "none"),
      figure("Stopped", counted(it.stopped), "until somebody decides", it.stopped > 0 ? "warn" : ""),
      figure("Dead letters", counted(it.dead), "given up", it.dead > 0 ? "bad" : ""),
      figure("Delivered", counted(it.delivered), "kept for those who ask")),
    lanes.data && lanes.data.lanes.length > 0 ? h("section", { "aria-labelledby": "lanes" }, h("header", null, h("h2", { id: "lanes" }, of(lanes.data.lanes.length, "lane is held", "lanes are held"))),
      table({
        id: "lane-rows", label: "Lanes that are held", height: 48, narrow: 128,
        columns: [{ title: "Lane", width: "minmax(140px, 1fr)", class: "lead" }, { title: "Held by", width: "minmax(160px, 1.4fr)", class: "whole" }, { title: "Behind it", width: "90px", class: "num right" }, { title: "Order", width: "120px", class: "act words right", hidden: true }],
        rows: lanes.data.lanes,
        row: (lane) => ({ key: `${lane.upstream}/${lane.lane}`, cells: [
          h("span", { class: "cut strong" }, `${lane.upstream} / ${lane.lane}`),
          h("span", { class: "cut" }, h("a", { class: "mono", href: to("outbox", lane.held_by.id) }, lane.held_by.id.slice(0, 13)), h("span", { class: "quiet" }, ` ${REASONS[lane.held_by.reason] || lane.held_by.reason || ""}`)),
          count(lane.behind),
          h("button", { onclick: () => laneDialog(lane) }, "Release")] }),
      })) : null,
    h("section", { "aria-labelledby": "deliveries" },
      h("header", null, h("h2", { id: "deliveries" }, "Stored writes"), h("span", { class: "grow" }), select("State", wanted, Object.keys(KINDS), set)),
      waiting(list, "The outbox") || deliveryTable(list.data.deliveries, state)),
  ];
}

function deliveryTable(deliveries, state) {
  const rank = { stopped: 0, dead: 1, waiting: 2, delivered: 3 };
  return table({
    id: "deliveries-rows", label: "Stored writes", height: 48, narrow: 164, empty: "Nothing is stored that fits.",
    columns: [
      { title: "Delivery", width: "minmax(130px, 1fr)", class: "lead" },
      { title: "State", width: "minmax(160px, 1.8fr)", class: "whole" },
      { title: "Lane", width: "minmax(110px, 1fr)" },
      { title: "Accepted", width: "96px", class: "num" },
      { title: "Next try", width: "90px", class: "num" },
      { title: "Calls", width: "56px", class: "num right" },
      { title: "Size", width: "80px", class: "num right wide-only not-narrow" },
      { title: "Order", width: "214px", class: "act words right", hidden: true },
    ],
    rows: [...deliveries].sort((left, right) => rank[left.state] - rank[right.state] || left.seq - right.seq),
    row: (one) => ({
      key: one.id,
      cells: [
        h("span", { class: "cut" }, h("a", { class: "mono", href: to("outbox", one.id) }, String(one.id).slice(0, 13))),
        h("span", { class: "cut" }, stateOf(one), one.reason ? h("span", { class: "quiet" }, ` ${REASONS[one.reason] || one.reason}`) : null),
        h("span", { class: "cut" }, `${one.upstream}${one.lane ? ` / ${one.lane}` : ""}`),
        one.accepted_at ? h("span", { class: "nowrap" }, `${span(state.now_unix_ms - one.accepted_at)} ago`) : "–",
        one.state === "waiting" && one.due_at ? (one.due_at <= state.now_unix_ms ? "due" : `in ${span(one.due_at - state.now_unix_ms)}`) : "–",
        count(one.calls),
        bytes(one.size),
        h("span", { class: "bar end tight" }, orders(one)),
      ],
    }),
  });
}

function orders(one) {
  const known = one.state === "stopped" ? ["retry", "settle", "drop"] : one.state === "dead" ? ["retry"] : one.state === "waiting" ? ["retry", "drop"] : [];
  return known.map((order) => h("button", { "data-order": order, "aria-label": `${DELIVERY_ORDERS[order].button} ${one.id}`, onclick: () => deliveryDialog(one, order) }, DELIVERY_ORDERS[order].button));
}

function stateOf(one) {
  return h("span", { class: `state ${KINDS[one.state]}` }, shape(KINDS[one.state]), one.state);
}

function deliveryView(id, state) {
  const entry = use(`/outbox/${encodeURIComponent(id)}`, 4000);
  const missing = waiting(entry, "The delivery");
  if (missing) return missing;
  const one = entry.data.delivery;
  const head = one.request || {};
  return [
    h("div", { class: "title" }, h("p", { class: "crumb" }, h("a", { href: to("outbox") }, "Outbox"), ` / ${one.id}`),
      h("div", { class: "bar" }, h("h1", { class: "mono call-title" }, head.method ? `${head.method} ${head.target || ""}` : one.id), stateOf(one), h("span", { class: "grow" }), orders(one))),
    h("dl", { class: "card pad facts" },
      one.reason ? fact("Why", REASONS[one.reason] || one.reason) : null,
      fact("To", `${one.upstream}, route ${one.route}`),
      one.lane ? fact("Lane", one.lane, one.behind ? ", behind others" : "") : null,
      fact("Idempotency key", h("span", { class: "mono" }, one.key)),
      fact("Accepted", time(one.accepted_at), ` (${span(state.now_unix_ms - one.accepted_at)} ago)`),
      one.state === "waiting" ? fact("Next try", time(one.due_at)) : null,
      one.finished_at ? fact("Finished", time(one.finished_at)) : fact("Given up at", time(one.expires_at)),
      fact("Calls", count(one.calls), one.maybe_done ? "; one of them may have carried it out" : ""),
      fact("Size", bytes(one.size))),
    h("section", { "aria-labelledby": "history" }, h("header", null, h("h2", { id: "history" }, "Calls made for it")),
      (one.history || []).length === 0 ? h("div", { class: "card empty" }, "None yet.") : h("ol", { class: "card changes" }, one.history.map((call) => h("li", { class: "change" },
        h("span", { class: "dim" }, time(call.at)), h("span", { class: "cut" }, historyWords(call)))))),
  ];
}

function historyWords(call) {
  const end = call.code ? [h("span", { class: "code" }, call.code), call.certainty ? ` ${call.certainty}` : ""] : call.status ? `answered ${call.status}` : "unfinished";
  return [end, h("span", { class: "dim num" }, ` · ${of(call.attempts, "attempt")} · ${ms(call.took_ms)} · `), h("a", { class: "mono", href: to("call", call.call) }, call.call)];
}
