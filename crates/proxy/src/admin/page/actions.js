// Orders: each is told in a sentence, confirmed in a dialog, and sent with the token and what was confirmed.

import { h, show } from "./dom.js";
import { Refused, ask, remember, token } from "./token.js";
import { stale } from "./resource.js";
import { takesCalls } from "./states.js";
import { store } from "./store.js";
import { list, of } from "./words.js";

/// What can be ordered of an endpoint.
export const ORDERS = {
  auto: { button: "Auto", title: "Let its breaker and checks decide", verb: "Let decide", says: "Takes the order back: its breaker begins anew, closed, and its checks decide with it." },
  drain: { button: "Drain", title: "No new calls; what is on its way finishes", verb: "Drain", says: "It takes no new calls, its idle connections are closed, and what is on its way finishes. That counts as no failure." },
  open: { button: "Force open", title: "Refuse all calls there", verb: "Force open", says: "All calls there are refused at once; those on their way finish." },
  closed: { button: "Force closed", title: "Ask it whatever it does", verb: "Force closed", says: "It is asked whatever it does: its breaker doesn't open, and its calls may fail." },
};

/// What can be ordered of a stored write.
export const DELIVERY_ORDERS = {
  retry: { button: "Retry", danger: false, says: "It is sent again now. If it had been carried out, it is carried out twice, unless its idempotency key prevents that." },
  settle: { button: "Settle", danger: true, says: "It counts as delivered and is never sent again. Its lane goes on." },
  drop: { button: "Drop", danger: true, says: "It is given up and never sent again. Its lane goes on. This can't be taken back." },
};

export function orderDialog(upstream, endpoint, chosen = "auto") {
  let order = chosen;
  const target = `${encodeURIComponent(upstream)}/${encodeURIComponent(endpoint)}`;
  open({
    title: `${upstream} / ${endpoint}`,
    body: (redraw) => [
      h("fieldset", { class: "choices" }, h("legend", { class: "hidden" }, "Order"),
        Object.entries(ORDERS).map(([name, it]) => h("label", { class: "choice" },
          h("input", { type: "radio", name: "order", value: name, checked: order === name, onchange: () => { order = name; redraw(); } }),
          h("span", null, h("span", { class: "strong" }, it.button), h("span", { class: "quiet" }, it.title))))),
      h("p", { class: "says" }, ORDERS[order].says, order === "auto" ? "" : " It holds until it is taken back by Auto, or until the process ends."),
      consequence(upstream, endpoint, order),
    ],
    verb: () => (order === "auto" ? "Take the order back" : `${ORDERS[order].verb} ${endpoint}`),
    isDanger: () => order !== "auto",
    send: () => ask(`/upstreams/${encodeURIComponent(upstream)}/endpoints/${encodeURIComponent(endpoint)}/order`,
      { method: "POST", body: order, headers: { "mainstay-confirm": `${order} ${target}`, "content-type": "text/plain" } }),
    done: () => `${endpoint}: ${order === "auto" ? "the order is taken back" : `ordered: ${order}`}`,
  });
}

/// What it means for the calls of the upstream.
function consequence(upstream, endpoint, order) {
  const all = store.state.upstreams.find((one) => one.name === upstream);
  const own = all && all.endpoints.find((one) => one.name === endpoint);
  if (!own || order === "auto" || order === "closed") return null;
  const others = all.endpoints.filter((one) => one.name !== endpoint && takesCalls(one.state));
  const flight = own.in_flight > 0 ? `${of(own.in_flight, "call is", "calls are")} on the way there. ` : "No call is on its way there. ";
  return others.length > 0
    ? h("p", { class: "quiet" }, `${flight}New calls go to ${others.length > 4 ? `the ${others.length} others that are up` : list(others.map((one) => one.name))}.`)
    : h("p", { class: "bad strong" }, `${flight}No other endpoint of ${upstream} is up: its calls will fail.`);
}

export function deliveryDialog(delivery, order) {
  const it = DELIVERY_ORDERS[order];
  open({
    title: `${it.button} delivery ${delivery.id}`,
    body: () => [
      h("p", null, `${delivery.method || ""} ${delivery.path || delivery.target || ""} to ${delivery.upstream}${delivery.lane ? `, lane ${delivery.lane}` : ""}${delivery.reason ? `: ${delivery.state} (${delivery.reason})` : ""}.`),
      h("p", { class: "says" }, it.says)],
    verb: () => `${it.button} it`,
    isDanger: () => it.danger,
    send: () => ask(`/outbox/${encodeURIComponent(delivery.id)}/${order}`, { method: "POST", headers: { "mainstay-confirm": `${order} ${delivery.id}` } }),
    done: () => `Delivery ${delivery.id}: ${order}`,
  });
}

export function laneDialog(lane) {
  let stopped = "retry";
  open({
    title: `Release lane ${lane.lane}`,
    body: (redraw) => [
      h("p", null, `${of(lane.behind, "stored write waits", "stored writes wait")} behind delivery ${lane.held_by.id}${lane.held_by.reason ? ` (${lane.held_by.reason})` : ""}. What becomes of it?`),
      h("fieldset", { class: "choices" }, h("legend", { class: "hidden" }, "What becomes of the stopped delivery"),
        Object.entries(DELIVERY_ORDERS).map(([name, it]) => h("label", { class: "choice" },
          h("input", { type: "radio", name: "stopped", value: name, checked: stopped === name, onchange: () => { stopped = name; redraw(); } }),
          h("span", { class: "strong" }, it.button)))),
      h("p", { class: "says" }, `${DELIVERY_ORDERS[stopped].says} Then what waits behind it is sent, in its order.`)],
    verb: () => "Release the lane",
    isDanger: () => stopped !== "retry",
    send: () => ask("/outbox/lanes/release", { method: "POST", body: JSON.stringify({ upstream: lane.upstream, lane: lane.lane, stopped }),
      headers: { "content-type": "application/json", "mainstay-confirm": `${stopped} ${encodeURIComponent(lane.upstream)}/${encodeURIComponent(lane.lane)}` } }),
    done: () => `Lane ${lane.lane} is released`,
  });
}

/// One dialog: what it says, what sends it, what is said afterwards.
export function open({ title, body, verb, isDanger, send, done, noToken = false }) {
  const dialog = document.getElementById("dialog");
  let problem = "";
  let busy = false;
  let asksToken = false;
  const mayAct = noToken || !store.hello || store.hello.may_act !== false;
  const redraw = () => show(dialog,
    h("form", { method: "dialog", class: "dialog", onsubmit: submit },
      h("h2", { id: "dialog-title" }, title),
      mayAct ? null : h("p", { class: "warn strong" }, "No admin token is configured, so a browser may look but not act. Set `token`, `token_file` or `token_env` under [admin]."),
      body(redraw),
      mayAct && !noToken && (asksToken || !token()) ? h("label", { class: "field" }, "Admin token",
        h("input", { type: "password", id: "dialog-token", autocomplete: "off", spellcheck: "false", required: true })) : null,
      problem ? h("p", { class: "bad", role: "alert" }, problem) : null,
      h("div", { class: "bar end" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        h("button", { type: "submit", class: isDanger() ? "danger" : "primary", id: "dialog-confirm", disabled: busy || !mayAct }, busy ? "Sending" : verb()))));
  async function submit(event) {
    event.preventDefault();
    const field = dialog.querySelector("#dialog-token");
    if (field) remember(field.value.trim());
    busy = true;
    problem = "";
    redraw();
    try {
      await send();
      stale("/outbox");
      dialog.close();
      say(`${done()}.`);
    } catch (error) {
      problem = error.message;
      asksToken = error instanceof Refused && error.status === 401;
      busy = false;
      redraw();
    }
  }
  redraw();
  if (!dialog.open) dialog.showModal();
}

let silence = 0;

/// Says what was done, for a few seconds.
export function say(text) {
  const toast = document.getElementById("toast");
  toast.textContent = text;
  toast.classList.add("shown");
  clearTimeout(silence);
  silence = setTimeout(() => {
    toast.classList.remove("shown");
    toast.textContent = "";
  }, 5000);
}
