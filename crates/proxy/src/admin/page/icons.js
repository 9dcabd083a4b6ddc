// Small drawings in one colour: states differ by shape, not by colour alone.

import { h } from "./dom.js";

const SHAPES = {
  // States.
  good: ["M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13z"],
  bad: ["M2 2h12v12H2z"],
  warn: ["M8 1.2l7.4 13.3H.6z"],
  off: ["M8 1.5a6.5 6.5 0 1 0 0 13a6.5 6.5 0 0 0 0-13zm0 2.2a4.3 4.3 0 1 1 0 8.6a4.3 4.3 0 0 1 0-8.6z"],
  probing: ["M8 .8l7.2 7.2L8 15.2L.8 8z"],
};

const LINES = {
  menu: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  sun: "M8 5.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 0 0 0-5.6zM8 1.2v1.4M8 13.4v1.4M1.2 8h1.4M13.4 8h1.4M3.2 3.2l1 1M11.8 11.8l1 1M12.8 3.2l-1 1M4.2 11.8l-1 1",
  moon: "M13.3 9.6A5.8 5.8 0 0 1 6.4 2.7A5.8 5.8 0 1 0 13.3 9.6z",
  auto: "M8 2a6 6 0 1 0 0 12a6 6 0 0 0 0-12zM8 2v12M8 5h4.2M8 8h6M8 11h4.2",
  help: "M6.2 6.1a1.9 1.9 0 1 1 2.7 1.8c-.6.3-.9.7-.9 1.3v.2M8 11.6h.01",
  back: "M10 3L5 8l5 5",
  next: "M6 3l5 5l-5 5",
  save: "M8 2v8M4.8 7L8 10.2L11.2 7M2.5 13.5h11",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M5 3.2l7.5 4.8L5 12.8z",
  close: "M4 4l8 8M12 4l-8 8",
};

export function shape(kind) {
  return h("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", fill: "currentColor" },
    h("path", { d: SHAPES[kind][0], "fill-rule": "evenodd" }));
}

export function icon(name) {
  return h("svg", { viewBox: "0 0 16 16", "aria-hidden": "true", fill: "none", stroke: "currentColor",
    "stroke-width": name === "menu" ? "2.2" : "1.5", "stroke-linecap": "round", "stroke-linejoin": "round" },
    h("path", { d: LINES[name] }));
}

export function brand() {
  return h("svg", { viewBox: "0 0 20 20", "aria-hidden": "true", fill: "none", stroke: "currentColor", "stroke-width": "1.8",
    "stroke-linecap": "round", "stroke-linejoin": "round" },
    h("path", { d: "M10 2v16M10 3L3 15.5M10 3l7 12.5M3 15.5c3 2.6 11 2.6 14 0" }));
}
