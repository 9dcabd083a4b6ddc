// The page: reads the stream, keeps what it tells, and shows the view that the address names, at most once a frame.

import { h, show } from "./dom.js";
import { brand, icon, shape } from "./icons.js";
import { Stream } from "./sse.js";
import { onResource } from "./resource.js";
import { isLost, lostFor, now, SILENCE_MS, store, take } from "./store.js";
import { headline } from "./headline.js";
import { incidentsAt, loadOld, momentError, refresh, seedSparks, startHistory, stateAt } from "./history.js";
import { address, place, readPlace } from "./route.js";
import { applyTheme, nextTheme, theme } from "./theme.js";
import { remember, takeFromAddress, token } from "./token.js";
import { moveBy, moveTo, moveToIncident, timeline } from "./timeline.js";
import { saveDialog } from "./save.js";
import { nowView } from "./now.js";
import { endpointView } from "./endpoint.js";
import { feedView, togglePause } from "./feed.js";
import { callView } from "./call.js";
import { incidentView, incidentsView } from "./incidents.js";
import { outboxView } from "./outbox.js";
import { connectionsView } from "./connections.js";
import { helpDialog } from "./help.js";
import { count, of, seconds, span } from "./words.js";

const VIEWS = {
  "": [nowView, "Now"],
  endpoint: [endpointView, "Endpoint"],
  feed: [feedView, "Feed"],
  call: [callView, "Call"],
  incidents: [incidentsView, "Incidents"],
  incident: [incidentView, "Incident"],
  outbox: [outboxView, "Outbox"],
  connections: [connectionsView, "Connections"],
};

/// Which part of the navigation a view belongs to.
const UNDER = { endpoint: "", call: "feed", incident: "incidents" };

const el = (id) => document.getElementById(id);
let due = false;
let stream = null;
let shownPath = null;

function redraw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    draw();
  });
}

function draw() {
  const at = place.at;
  if (at) loadOld();
  const state = at ? stateAt(at) : store.state && { ...store.state, now_unix_ms: now() };
  show(el("top"), header());
  show(el("banners"), banners());
  show(el("main"), view(state, at));
  show(el("timeline"), store.state ? timeline(now()) : null);
  const head = headline(store.state, incidentsAt(null), null);
  // Only what is new is put there, so that it is read aloud once.
  const words = isLost() ? "The connection to Mainstay is lost." : head.spoken;
  if (el("spoken").textContent !== words) el("spoken").textContent = words;
  const mark = { bad: "■ ", warn: "▲ ", good: "", dim: "" }[head.tone] || "";
  const title = `${mark}${titleOf()} – Mainstay`;
  if (document.title !== title) document.title = title;
}

function titleOf() {
  const [name] = place.parts;
  const known = VIEWS[name || ""];
  return known ? [known[1], ...place.parts.slice(1)].join(" ") : "Not found";
}

function view(state, at) {
  if (store.link.status === 401) return gate();
  if (!store.state) return h("div", { class: "card empty" }, h("strong", null, store.link.state === "broken" ? "Mainstay can't be reached" : "Connecting"), store.link.why || "");
  if (!state) {
    return momentError ? h("div", { class: "card empty", role: "alert" }, h("strong", null, "How it was at that moment can't be had"), momentError.message)
      : h("div", { class: "card empty" }, "Loading that moment");
  }
  const known = VIEWS[place.parts[0] || ""];
  if (!known) return h("div", { class: "card empty", role: "alert" }, h("strong", null, "There is no such page"), h("a", { href: "#/" }, "Back to now"));
  return known[0]({ state, at, parts: place.parts });
}

/// Asks for the token; nothing can be shown without it.
function gate() {
  const submit = (event) => {
    event.preventDefault();
    remember(el("token").value.trim());
    store.link.status = 0;
    stream.now();
    refresh();
    redraw();
  };
  return h("form", { class: "card pad gate stack", onsubmit: submit },
    h("h1", null, "This address wants its token"),
    h("p", { class: "quiet" }, "It is set under [admin] in the settings. It is kept in this tab until that is closed, and sent to this address only."),
    h("label", { class: "field" }, "Admin token", h("input", { id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true })),
    token() ? h("p", { class: "bad", role: "alert" }, "The token that was given isn't the right one.") : null,
    h("div", { class: "bar end" }, h("button", { class: "primary", type: "submit" }, "Go on")));
}

function banners() {
  const rows = [];
  const { link } = store;
  if (store.state && lostFor() > SILENCE_MS) {
    const retry = link.retryAt > Date.now() ? `, next try in ${span(link.retryAt - Date.now())}` : "";
    rows.push(h("div", { class: "banner", key: "lost", id: "lost" }, h("div", { class: "banner-in" },
      h("span", { class: "num" }, `Disconnected since ${span(lostFor())}, last state shown${link.why ? ` (${link.why}${retry})` : ""}.`),
      h("button", { onclick: () => stream.now() }, "Try now"))));
  }
  if (place.at) {
    const open = openNow();
    rows.push(h("div", { class: "banner past", key: "past" }, h("div", { class: "banner-in" },
      h("span", { class: "num" }, `Shown as it was at ${seconds(place.at)}, ${span(now() - place.at)} ago, as far as it is kept.`,
        open > 0 ? h("strong", { class: "bad" }, ` Now ${of(open, "incident is", "incidents are")} open.`) : null),
      h("button", { id: "back-to-now", onclick: () => moveTo(Infinity) }, "Back to now"))));
  }
  return rows;
}

/// How many incidents are open: one of each cause at each endpoint, the same number wherever it is shown.
function openNow() {
  return incidentsAt(null).filter((one) => one.state === "open").length;
}

function header() {
  // As everything on the page, of the moment that is shown.
  const open = incidentsAt(place.at).filter((one) => one.state === "open").length;
  const outbox = store.state && store.state.outbox;
  const here = place.parts[0] || "";
  const under = here in UNDER ? UNDER[here] : here;
  const item = (name, words, tag, tone) => h("a", { key: name, href: address(name ? [name] : [], place.at), "aria-current": under === name ? "page" : null }, words,
    tag ? h("span", { class: `tag ${tone}` }, h("span", { class: "hidden" }, ", "), count(tag)) : null);
  const lost = store.state && lostFor() > SILENCE_MS;
  const link = lost || store.link.state === "broken" ? ["bad", "lost"] : store.link.state === "live" ? ["good", "live"] : ["off", "connecting"];
  return h("div", { class: "top-in" },
    h("a", { class: "brand", href: "#/" }, brand(), h("span", null, "Mainstay")),
    h("nav", { class: "nav", "aria-label": "Views" },
      item("", "Now"), item("incidents", "Incidents", open, "bad"), item("feed", "Feed"),
      item("outbox", "Outbox", outbox ? outbox.stopped + outbox.dead : 0, "warn"), item("connections", "Connections")),
    h("div", { class: "tools" },
      h("span", { class: "live", id: "live" }, h("span", { class: `state ${link[0]}` }, shape(link[0]), h("span", { class: "live-word" }, link[1]))),
      h("button", { class: "icon plain", id: "theme", title: `Colours: ${theme()} (T)`, "aria-label": `Colours: ${theme()}. Change`, onclick: changeTheme }, icon({ auto: "auto", light: "sun", dark: "moon" }[theme()])),
      h("button", { class: "icon plain", id: "help", title: "Keys (?)", "aria-label": "Keys and what they do", onclick: helpDialog }, icon("help"))));
}

function changeTheme() {
  nextTheme();
  redraw();
}

const KEYS = {
  1: () => go(), 2: () => go("incidents"), 3: () => go("feed"), 4: () => go("outbox"), 5: () => go("connections"),
  j: () => moveToIncident(-1), k: () => moveToIncident(1), "[": () => moveBy(-10_000), "]": () => moveBy(10_000), n: () => moveTo(Infinity),
  s: () => store.state && saveDialog(), t: changeTheme, p: () => place.parts[0] === "feed" && togglePause(), "?": helpDialog,
  "/": () => { const field = document.querySelector("main input[type=search]"); if (field) field.focus(); },
};

function go(...parts) {
  location.hash = address(parts, place.at);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || el("dialog").open) return;
  if (event.target.closest("input, select, textarea")) {
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (event.key === "Escape" && place.at) return moveTo(Infinity);
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act();
}

function onPlace() {
  takeFromAddress();
  readPlace();
  const path = place.parts.join("/");
  if (shownPath !== null && path !== shownPath) {
    draw();
    scrollTo(0, 0);
    // Whoever uses keys or a screen reader goes on at the begin of the new view.
    el("main").focus({ preventScroll: true });
  }
  shownPath = path;
  redraw();
}

function connect() {
  let seeded = false;
  stream = new Stream("/live", {
    open() {
      store.link = { state: "live", since: Date.now(), why: "", status: 0, retryAt: 0 };
      // What broke while nobody listened isn't told again; the last of it is kept.
      if (store.state) loadOld(0);
      redraw();
    },
    event(name, data) {
      take(name, JSON.parse(data));
      // We were too slow for the stream: rows may be among what was lost.
      if (name === "lost") loadOld(0);
      if (name === "state" && !seeded) {
        seeded = true;
        seedSparks();
        loadOld();
      }
      redraw();
    },
    broken(why, status, wait) {
      store.link = { state: "broken", since: store.link.state === "broken" ? store.link.since : Date.now(), why, status, retryAt: Date.now() + wait };
      redraw();
    },
  }, SILENCE_MS * 2).start();
}

applyTheme();
takeFromAddress();
readPlace();
shownPath = place.parts.join("/");
onResource(redraw);
connect();
startHistory(redraw);
addEventListener("hashchange", onPlace);
addEventListener("mainstay-redraw", redraw);
addEventListener("scroll", redraw, { passive: true });
addEventListener("resize", redraw);
document.addEventListener("keydown", onKey);
// Countdowns and ages go on between two news.
setInterval(() => document.visibilityState === "visible" && redraw(), 500);
redraw();
