// An incident as one HTML file: what was seen, with its drawings and calls; no script, nothing from elsewhere, for a mail or a ticket.

import { h, show } from "./dom.js";
import { ask } from "./token.js";
import { open } from "./actions.js";
import { costs, groups, headline } from "./headline.js";
import { incidentsAt, keptSpan, stateAt } from "./history.js";
import { store, now } from "./store.js";
import { place } from "./route.js";
import { changeList } from "./changes.js";
import { callTable } from "./widgets.js";
import { story as callStory } from "./call.js";
import { endpointCharts } from "./endpoint.js";
import { incidentCharts, story } from "./incidents.js";
import { count, iso, list, of, seconds, span } from "./words.js";

/// Drawings of endpoints, and stories of calls, at most: a file of a few hundred KiB.
const MOST_ENDPOINTS = 24;
const MOST_CALLS = 40;

/// Asks which span, and saves it.
export function saveDialog(given) {
  const kept = keptSpan();
  const choices = given
    ? [["this incident", given]]
    : place.at
      ? [["ten minutes around the moment shown", [place.at - 300_000, place.at + 300_000]], ["the whole hour", kept]]
      : [["the last 15 minutes", [kept[1] - 900_000, kept[1]]], ["the whole hour", kept]];
  let chosen = 0;
  open({
    title: "Save as one HTML file",
    noToken: true,
    body: (redraw) => [
      h("p", null, "The sentence, incidents, drawings, changes of state and broken calls with their stories, as far as they are kept. It opens offline and needs nothing else."),
      choices.length > 1 ? h("fieldset", { class: "choices" }, h("legend", { class: "hidden" }, "Which time"), choices.map(([name], number) =>
        h("label", { class: "choice" }, h("input", { type: "radio", name: "span", checked: chosen === number, onchange: () => { chosen = number; redraw(); } }), h("span", { class: "strong" }, name)))) : null,
      h("p", { class: "says num" }, `From ${seconds(Math.max(kept[0], choices[chosen][1][0]))} to ${seconds(Math.min(kept[1], choices[chosen][1][1]))}.`)],
    verb: () => "Save",
    isDanger: () => false,
    send: async () => {
      const [from, to] = choices[chosen][1];
      download(await fileOf(Math.max(kept[0], from), Math.min(kept[1], to)), Math.max(kept[0], from));
    },
    done: () => "Saved",
  });
}

function download(html, from) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([html], { type: "text/html" }));
  link.download = `mainstay-${iso(from).slice(0, 19).replace(/:/g, "")}.html`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/// The file's text.
export async function fileOf(from, to) {
  const style = await (await fetch("/dashboard/style.css")).text() + await (await fetch("/dashboard/parts.css")).text();
  const known = await ask(`/incidents?limit=200`).then((doc) => doc.incidents).catch(() => incidentsAt(null));
  const incidents = known.filter((one) => one.began_unix_ms <= to && (one.ended_unix_ms || now()) >= from);
  const upstreams = [];
  for (const upstream of store.state.upstreams) {
    const doc = await ask(`/timeline?upstream=${encodeURIComponent(upstream.name)}&from=${Math.floor(from / 10_000) * 10_000}&to=${Math.ceil(to / 10_000) * 10_000}`);
    const found = doc.upstreams.find((one) => one.name === upstream.name);
    if (found) upstreams.push({ doc, found });
  }
  const calls = store.calls.filter((call) => call.at_unix_ms >= from && call.at_unix_ms <= to);
  const first = [...calls.filter((call) => call.failed), ...calls.filter((call) => !call.failed)].slice(0, MOST_CALLS);
  const stories = (await Promise.all(first.map((call) => ask(`/calls/${call.id}`).then((doc) => doc.call).catch(() => null)))).filter(Boolean);
  const changes = [...store.changes.values()].filter((one) => one.at_unix_ms >= from && one.at_unix_ms <= to);
  const isNow = to >= now() - 30_000;
  const state = isNow ? store.state : stateAt(to) || store.state;
  const body = document.createElement("main");
  show(body, report({ from, to, incidents, upstreams, calls, stories, changes, state, isNow }));
  // Links of the page lead nowhere in a file.
  for (const link of body.querySelectorAll("a")) link.replaceWith(...link.childNodes);
  const data = JSON.stringify({ from, to, incidents, changes, calls: stories }).replace(/</g, "\\u003c");
  const title = `Mainstay, ${iso(from).slice(0, 16).replace("T", " ")} UTC`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="content-security-policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>${title}</title>
<style>${style.replace(/<\//g, "<\\/")}</style>
</head>
<body class="saved">
${body.outerHTML}
<script type="application/json" id="data">${data}</script>
</body>
</html>
`;
}

function report({ from, to, incidents, upstreams, calls, stories, changes, state, isNow }) {
  const head = headline(state, incidents, isNow ? null : to);
  const left = (endpoint) => endpoint.attempts.some(Boolean) && (endpoint.broke.some(Boolean) || /[^u-]/.test(endpoint.state || ""));
  const all = upstreams.flatMap(({ doc, found }) => (found.endpoints || []).filter(left).map((endpoint) => ({ doc, found, endpoint })));
  return [
    h("div", { class: "title" }, h("h1", null, "Mainstay"),
      h("p", { class: "quiet num" }, `${iso(from)} to ${iso(to)} (${span(to - from)}), saved at ${iso(now())}`)),
    h("div", { class: `headline ${head.tone}` }, h("span"), h("h1", { class: "as-h2" }, head.text), h("p", { class: "next" }, head.next)),
    h("section", null, h("h2", null, incidents.length > 0 ? of(incidents.length, "incident") : "No incident in that time"),
      incidents.length > 0 ? h("ul", { class: "stack tight" }, groups(incidents).map((one) => h("li", { class: "card pad" }, one.all.map((each) => h("p", { class: "num" }, story(each))),
        one.all.length > 1 ? h("p", { class: "quiet" }, `Together at ${list(one.endpoints)}: ${costs(one)}.`) : null))) : null),
    upstreams.map(({ doc, found }) => h("section", { class: "card pad" }, h("h2", null, found.name),
      h("div", { class: "two charts" }, incidentCharts(doc, found, incidents.find((one) => one.upstream === found.name) || { began_unix_ms: 0, ended_unix_ms: 1 }, null, 620)))),
    all.slice(0, MOST_ENDPOINTS).map(({ doc, found, endpoint }) => h("section", { class: "card pad" }, h("h2", null, `${found.name} / ${endpoint.name}`),
      endpointCharts(doc, endpoint, incidents.filter((one) => one.upstream === found.name && one.endpoint === endpoint.name), null, [from, to]))),
    all.length > MOST_ENDPOINTS ? h("p", { class: "quiet" }, `${count(all.length - MOST_ENDPOINTS)} more endpoints aren't drawn.`) : null,
    h("section", null, h("h2", null, "What changed"), changeList(changes, { most: 500, empty: "Nothing changed in that time." })),
    h("section", null, h("h2", null, `Broken calls: ${count(calls.length)} of a sample`), callTable({ id: "saved-calls", label: "Broken calls", calls: calls.slice(0, 60), empty: "None is kept." })),
    stories.length > 0 ? h("section", null, h("h2", null, "Their stories"), stories.map((call) => h("details", { class: "card pad" },
      h("summary", { class: "mono" }, `${seconds(call.started_unix_ms)} ${call.method} ${call.path} ${call.outcome}`), h("div", { class: "stack" }, callStory(call, false))))) : null,
  ];
}
