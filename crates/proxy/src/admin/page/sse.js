// A stream of server-sent events that heals.
//
// Read with `fetch`, since an EventSource can't send the token in a header. It is opened again after each end, with
// `Last-Event-ID`, after a wait that doubles up to ten seconds and is spread, so that many pages don't come back at once. A
// stream in which nothing comes, not even a heartbeat, counts as broken.

import { headers } from "./token.js";

const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;

/// What is larger than this without an end isn't an event of ours.
const MOST_BUFFERED = 32 * 1024 * 1024;

export class Stream {
  /// `on` has `open()`, `event(name, data)`, `broken(why, status, retry_in_ms)`.
  constructor(path, on, silenceMs = 20_000) {
    Object.assign(this, { path, on, silenceMs });
    this.lastId = null;
    this.failures = 0;
    this.stopped = false;
    this.abort = null;
    this.wake = null;
  }

  start() {
    this.run();
    const now = () => this.now();
    addEventListener("online", now);
    document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && now());
    return this;
  }

  /// Doesn't wait any longer for the next try.
  now() {
    if (this.wake) this.wake();
  }

  stop() {
    this.stopped = true;
    if (this.abort) this.abort.abort();
    this.now();
  }

  async run() {
    while (!this.stopped) {
      let why = "the stream ended";
      let status = 0;
      try {
        await this.read();
      } catch (error) {
        status = error.status || 0;
        why = error.name === "AbortError" ? "nothing came" : error.message;
      }
      if (this.stopped) return;
      const wait = Math.min(FIRST_WAIT_MS * 2 ** this.failures, LONGEST_WAIT_MS) * (0.5 + Math.random() / 2);
      this.failures = Math.min(this.failures + 1, 10);
      this.on.broken(why, status, wait);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wake = null;
    }
  }

  async read() {
    const abort = new AbortController();
    this.abort = abort;
    let watchdog = setTimeout(() => abort.abort(), this.silenceMs);
    try {
      const more = { accept: "text/event-stream" };
      if (this.lastId !== null) more["last-event-id"] = this.lastId;
      const response = await fetch(this.path, {
        headers: headers(more),
        signal: abort.signal,
        cache: "no-store",
        credentials: "omit",
      });
      if (!response.ok) {
        const error = new Error(`the admin address answered ${response.status}`);
        error.status = response.status;
        throw error;
      }
      this.on.open();
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      const parser = new Parser((id, name, data) => {
        if (id !== null) this.lastId = id;
        this.failures = 0;
        this.on.event(name, data);
      });
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(watchdog);
        watchdog = setTimeout(() => abort.abort(), this.silenceMs);
        parser.push(decoder.decode(value, { stream: true }));
      }
    } finally {
      clearTimeout(watchdog);
      abort.abort();
    }
  }
}

/// Lines into events, as the HTML standard has it; only the fields that the admin address sends.
export class Parser {
  constructor(emit) {
    this.emit = emit;
    this.rest = "";
    this.clear();
  }

  clear() {
    this.name = "message";
    this.data = [];
    this.id = null;
  }

  push(text) {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop();
    if (this.rest.length > MOST_BUFFERED) throw new Error("an event is too large");
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (this.data.length > 0) this.emit(this.id, this.name, this.data.join("\n"));
        this.clear();
        continue;
      }
      if (line.startsWith(":")) continue;
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") this.name = value;
      else if (field === "data") this.data.push(value);
      else if (field === "id") this.id = value;
    }
  }
}
