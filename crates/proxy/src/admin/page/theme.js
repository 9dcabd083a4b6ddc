// Light or dark: as the system has it, or as chosen here.

const KEY = "mainstay-theme";
const NEXT = { auto: "light", light: "dark", dark: "auto" };

export function theme() {
  return localStorage.getItem(KEY) || "auto";
}

export function applyTheme() {
  const chosen = theme();
  if (chosen === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
}

export function nextTheme() {
  const chosen = NEXT[theme()];
  if (chosen === "auto") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, chosen);
  applyTheme();
}
