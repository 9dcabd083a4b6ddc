// The keys, listed.

import { h, show } from "./dom.js";

const KEYS = [
  ["1 – 5", "Now, incidents, feed, outbox, connections"],
  ["J / K", "To the incident before, after"],
  ["[ / ]", "Ten seconds back, on; on the timeline itself also the arrow keys, Page Up and Down, Home and End"],
  ["N or Esc", "Back to now"],
  ["P", "Pause the feed"],
  ["/", "To the search field"],
  ["S", "Save as one HTML file"],
  ["T", "Colours: as the system has them, light, dark"],
  ["?", "This list"],
];

export function helpDialog() {
  const dialog = document.getElementById("dialog");
  show(dialog, h("form", { method: "dialog", class: "dialog" },
    h("h2", { id: "dialog-title" }, "Keys"),
    h("dl", { class: "facts keys" }, KEYS.map(([key, says]) => [h("dt", null, h("kbd", null, key)), h("dd", null, says)])),
    h("p", { class: "quiet" }, "Colour is never alone: a disc is well, a triangle uncertain, a square broken, a diamond probing, a ring at rest or ordered so."),
    h("div", { class: "bar end" }, h("button", { class: "primary" }, "Close"))));
  if (!dialog.open) dialog.showModal();
}
