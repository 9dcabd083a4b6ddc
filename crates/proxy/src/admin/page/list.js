// Long lists: only the rows that can be seen are in the document.

/// More rows than this are drawn only where the window is.
const ALL_UP_TO = 20;

/// Rows kept above and below what is seen, so that a focus or a quick scroll finds them.
const AROUND = 8;

/// The rows of `rows` to draw, and what to leave free above and below them, for the element `id` whose rows are `height`
/// pixels each.
export function slice(id, rows, height) {
  if (rows.length <= ALL_UP_TO) return { first: 0, rows, style: null };
  const el = document.getElementById(id);
  // Before it is in the document nobody knows where it will be: the next frame draws the rest.
  if (!el) dispatchEvent(new Event("mainstay-redraw"));
  const top = el ? el.getBoundingClientRect().top : innerHeight - height;
  const within = (row) => Math.min(rows.length, Math.max(0, row));
  const first = within(Math.floor(-top / height) - AROUND);
  const shown = rows.slice(first, within(Math.ceil((innerHeight - top) / height) + AROUND));
  const after = rows.length - first - shown.length;
  return {
    first,
    rows: shown,
    style: { "padding-top": `${first * height}px`, "padding-bottom": `${after * height}px` },
  };
}

/// Whether the window is as narrow as a phone's; the style sheet has the same number.
export function isNarrow() {
  return matchMedia("(max-width: 760px)").matches;
}
