// Tables: real ones for a screen reader, cards on a phone, and only the rows that are seen where there are many.
//
// The roles are written out, since a table whose rows are drawn as grids loses them in some browsers.

import { h } from "./dom.js";
import { isNarrow, slice } from "./list.js";

/// `columns`: `{ title, class, width }`; `row(one)` gives `{ key, cells, memo, class }`, a cell for each column. `height` and
/// `narrow` are the pixels of a row, on a desktop and on a phone, which a long table needs to know.
export function table({ id, label, columns, rows, row, height = 44, narrow = 84, cards, empty = "Nothing here." }) {
  if (rows.length === 0) return h("div", { class: "card empty" }, empty);
  const part = slice(id, rows, isNarrow() ? narrow : height);
  const cols = columns.map((column) => column.width || "1fr").join(" ");
  return h("div", { class: "card table", role: "table", "aria-label": label, "aria-rowcount": rows.length + 1, style: { "--cols": cols, ...(cards ? { "--cards": cards } : {}) } },
    h("div", { role: "rowgroup", class: "thead" },
      h("div", { role: "row", class: "tr", "aria-rowindex": 1 },
        columns.map((column) => h("div", { role: "columnheader", class: `th ${column.class || ""}` },
          column.hidden ? h("span", { class: "hidden" }, column.title) : column.title)))),
    h("div", { role: "rowgroup", class: "tbody", id, style: part.style || {} },
      part.rows.map((one, place) => {
        const { key, cells, memo, class: name, body } = row(one);
        const index = part.first + place + 2;
        return h("div", {
          key, role: "row", class: `tr ${name || ""}`, "aria-rowindex": index,
          style: { "--row": `${isNarrow() ? narrow : height}px` },
          memo: memo && [...memo, index, isNarrow()],
          body: () => (cells || body()).map((cell, column) =>
            h("div", { role: "cell", class: `td ${columns[column].class || ""}`, "data-label": columns[column].title }, cell)),
        });
      })));
}
