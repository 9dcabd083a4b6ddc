// What a view shows, as plain values, and the smallest change that makes the document show it.
//
// A view is a function from what is known to a tree made by `h`. `show` compares it with the tree before and touches what
// differs, so that focus, selection and scrolling stay where they are while numbers change every second.

const TEXT = "#text";
const SVG = "http://www.w3.org/2000/svg";
const NONE = Object.freeze({});

/// A node: a tag, its properties and its children. `key` tells siblings apart; `memo` (a list of values) says that
/// nothing in it changes as long as they are the same, and `body` then makes its children only when they aren't.
export function h(tag, props, ...children) {
  const own = props || NONE;
  return { tag, props: own, key: own.key, children: flat(children, []), el: null };
}

function flat(children, into) {
  for (const child of children) {
    if (Array.isArray(child)) flat(child, into);
    else if (child == null || child === false || child === true) continue;
    else if (typeof child === "object") into.push(child);
    else into.push({ tag: TEXT, props: NONE, key: undefined, children: [], text: String(child), el: null });
  }
  return into;
}

const shown = new WeakMap();

/// Makes `parent` show these children.
export function show(parent, ...children) {
  const next = flat(children, []);
  patch(parent, shown.get(parent) || [], next, parent.namespaceURI === SVG);
  shown.set(parent, next);
}

function patch(parent, old, next, isSvg) {
  const byKey = new Map();
  const loose = [];
  for (const node of old) {
    if (node.key === undefined) loose.push(node);
    else byKey.set(node.key, node);
  }
  let place = 0;
  const kept = new Set();
  for (const node of next) {
    let before;
    if (node.key === undefined) {
      // Those without a key are matched in their order, tag by tag.
      while (place < loose.length && loose[place].tag !== node.tag) place += 1;
      before = loose[place];
      place += 1;
    } else {
      before = byKey.get(node.key);
      if (before && (before.tag !== node.tag || kept.has(before))) before = undefined;
    }
    if (before) {
      kept.add(before);
      update(before, node, isSvg);
    } else {
      create(node, isSvg);
    }
  }
  for (const node of old) if (!kept.has(node)) node.el.remove();
  let at = parent.firstChild;
  for (const node of next) {
    if (node.el === at) at = at.nextSibling;
    else parent.insertBefore(node.el, at);
  }
}

function create(node, isSvg) {
  if (node.tag === TEXT) {
    node.el = document.createTextNode(node.text);
    return;
  }
  const svg = isSvg || node.tag === "svg";
  node.el = svg ? document.createElementNS(SVG, node.tag) : document.createElement(node.tag);
  for (const name in node.props) set(node.el, name, node.props[name], undefined);
  fill(node);
  for (const child of node.children) {
    create(child, svg);
    node.el.append(child.el);
  }
  if (node.props.mounted) node.props.mounted(node.el);
}

function update(before, node, isSvg) {
  node.el = before.el;
  if (node.tag === TEXT) {
    if (node.text !== before.text) node.el.data = node.text;
    return;
  }
  const memo = node.props.memo;
  if (memo && same(memo, before.props.memo)) {
    node.children = before.children;
    node.props = before.props;
    return;
  }
  for (const name in before.props) {
    if (!(name in node.props)) set(node.el, name, undefined, before.props[name]);
  }
  for (const name in node.props) {
    if (node.props[name] !== before.props[name]) set(node.el, name, node.props[name], before.props[name]);
  }
  fill(node);
  patch(node.el, before.children, node.children, isSvg || node.tag === "svg");
}

function fill(node) {
  if (node.props.body) node.children = flat([node.props.body()], []);
}

function same(left, right) {
  return Array.isArray(right) && left.length === right.length && left.every((one, place) => Object.is(one, right[place]));
}

const OWN = new Set(["key", "memo", "body", "mounted"]);

function set(el, name, value, before) {
  if (OWN.has(name)) return;
  if (name.startsWith("on")) {
    el[name] = value || null;
  } else if (name === "style") {
    // By the object model, since the policy for content forbids attributes of style.
    for (const key in before || NONE) if (!value || !(key in value)) el.style.removeProperty(key);
    for (const key in value || NONE) el.style.setProperty(key, value[key]);
  } else if (name === "value" || name === "checked") {
    if (el[name] !== value) el[name] = value ?? "";
  } else if (value == null || value === false) {
    el.removeAttribute(name);
  } else {
    el.setAttribute(name, value === true ? "" : value);
  }
}
