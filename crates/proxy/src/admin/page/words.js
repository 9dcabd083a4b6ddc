// Numbers, times and states as a person reads them.

const DIGITS = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export function count(number) {
  return DIGITS.format(number || 0);
}

/// "1 call", "2 calls".
export function of(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/// A number with few letters: 950, 1.2 k, 3.4 M.
export function short(number) {
  if (number == null) return "–";
  const size = Math.abs(number);
  if (size >= 1e9) return `${digits(number / 1e9)} G`;
  if (size >= 1e6) return `${digits(number / 1e6)} M`;
  if (size >= 1e4) return `${digits(number / 1e3)} k`;
  if (size >= 1000) return DIGITS.format(number);
  return digits(number);
}

function digits(number) {
  const size = Math.abs(number);
  if (size === 0) return "0";
  if (size >= 100 || Number.isInteger(number)) return number.toFixed(0);
  return size >= 10 ? number.toFixed(1).replace(/\.0$/, "") : number.toFixed(size >= 1 ? 1 : 2);
}

/// A rate, a second.
export function rate(number) {
  return number == null ? "–" : `${short(number)}/s`;
}

/// A length of time, in milliseconds or larger; the same as `mainstay explain` writes it.
export function ms(millis) {
  if (millis == null) return "–";
  if (millis >= 100_000) return `${(millis / 1e3).toFixed(0)} s`;
  if (millis >= 10_000) return `${(millis / 1e3).toFixed(1)} s`;
  if (millis >= 100) return `${millis.toFixed(0)} ms`;
  if (millis >= 1) return `${millis.toFixed(1)} ms`;
  return `${millis.toFixed(2)} ms`;
}

/// A length of time for a sentence: 12 s, 4 min, 1 h 20 min.
export function span(millis) {
  const seconds = Math.max(0, Math.round(millis / 1000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours >= 48) return `${Math.round(hours / 24)} days`;
  return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
}

/// What is left of a time, counting down: nothing is left only when it is over.
export function left(millis) {
  const tenths = Math.ceil(Math.max(0, millis) / 100);
  return millis < 10_000 ? `${(tenths / 10).toFixed(1)} s` : span(millis);
}

/// A share, with as many digits as tell that not all is well: 99.98 %.
export function percent(share) {
  if (share == null || Number.isNaN(share)) return "–";
  const value = share * 100;
  if (value >= 100) return "100 %";
  if (value <= 0) return "0 %";
  // Rounding must not turn a failure into none.
  if (value > 99.99) return "> 99.99 %";
  if (value > 99) return `${(Math.floor(value * 100) / 100).toFixed(2)} %`;
  return value >= 10 ? `${value.toFixed(1)} %` : `${value.toFixed(2)} %`;
}

export function bytes(number) {
  if (number == null) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let size = number;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit]}`;
}

const DATE = new Intl.DateTimeFormat("en-CA", { year: "numeric", month: "2-digit", day: "2-digit" });
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/// What is longer ago isn't of this day: the date is told too.
const SAME_DAY_MS = 20 * 3_600_000;

/// The time of day, local: 03:02; of another day with its date.
export function clock(unixMs) {
  return Date.now() - unixMs > SAME_DAY_MS ? DAY.format(unixMs) : CLOCK.format(unixMs);
}

/// The same to the second.
export function seconds(unixMs) {
  return SECONDS.format(unixMs);
}

/// Since when, for a sentence: to the second, since it is compared with the log; of another day with its date.
export function since(unixMs) {
  return Date.now() - unixMs > SAME_DAY_MS ? `${DATE.format(unixMs)} ${SECONDS.format(unixMs)}` : SECONDS.format(unixMs);
}

/// The same to the millisecond.
export function exact(unixMs) {
  return `${SECONDS.format(unixMs)}.${String(Math.floor(unixMs) % 1000).padStart(3, "0")}`;
}

/// Date and time for a machine and for a tooltip.
export function iso(unixMs) {
  return new Date(unixMs).toISOString();
}

/// A list for a sentence: a, b and c.
export function list(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words[words.length - 1]}`;
}
