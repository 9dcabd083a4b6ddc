//! Chromium, driven by its own protocol (DevTools) over a pair of pipes.
//!
//! No driver program, port, WebSocket or crate stands between: Chromium reads commands from descriptor 3 and writes answers and
//! events to descriptor 4, JSON with a zero byte after each. A shell puts its standard input and output there, since nothing
//! in safe Rust hands other descriptors to a child. When the pipe ends, Chromium ends.
//!
//! Whatever a page does wrong (an exception, an error on the console, a violation of its policy, a request to elsewhere) is
//! kept, and each test asks for it at its end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::support::program::Program;
use crate::support::{PATIENCE, text};

/// A browser with one page.
pub(crate) struct Browser {
    pipe: tokio::sync::Mutex<ChildStdin>,
    shared: Arc<Shared>,
    session: String,
    process: Child,
    _profile: tempfile::TempDir,
}

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Value>>>,
    problems: Mutex<Vec<String>>,
    /// What may be asked: the only address of the page. Anything else is a problem.
    origin: Mutex<String>,
    downloads: Mutex<Vec<Value>>,
}

/// No window, and nothing but what the test asks for: no updates, no accounts, no pages of its own.
const OPTIONS: [&str; 12] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-precise-memory-info",
    "--js-flags=--expose-gc",
];

/// Runs its arguments with the pipes where Chromium looks for them.
const SHELL: &str = r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#;

impl Browser {
    /// Starts it, in a profile that knows nothing yet.
    pub(crate) async fn start() -> Result<Self, String> {
        let chromium = Program::path(&["chromium", "chromium-browser", "google-chrome"])?;
        let chromium = chromium.display().to_string();
        let profile = tempfile::tempdir().map_err(text)?;
        let folder = format!("--user-data-dir={}", profile.path().display());
        let words = [&["-c", SHELL, &chromium], &OPTIONS[..], &[&folder, "about:blank"]].concat();
        let mut command = Program::find(&["sh"])?.command(&words);
        // Times of day are shown, and pictures must be the same everywhere.
        command.env("TZ", "UTC").stdin(std::process::Stdio::piped());
        let mut process = command.spawn().map_err(text)?;
        let pipe = process.stdin.take().ok_or("no pipe to the browser")?;
        let output = process.stdout.take().ok_or("no pipe from the browser")?;
        let shared = Arc::<Shared>::default();
        let reader = Arc::clone(&shared);
        tokio::spawn(async move {
            let mut output = BufReader::new(output);
            let mut message = Vec::new();
            while output.read_until(0, &mut message).await.is_ok_and(|length| length > 0) {
                message.pop();
                if let Ok(value) = serde_json::from_slice(&message) {
                    reader.take(value);
                }
                message.clear();
            }
            // Whoever still waits is told by the end of its channel.
            lock(&reader.waiting).clear();
        });
        let mut browser =
            Self { pipe: pipe.into(), shared, session: String::new(), process, _profile: profile };
        browser.attach().await?;
        Ok(browser)
    }

    async fn attach(&mut self) -> Result<(), String> {
        let targets = self.send("Target.getTargets", json!({})).await?;
        let mut pages = targets["targetInfos"].as_array().into_iter().flatten();
        let page = pages.find(|target| target["type"] == "page");
        let page = page.ok_or("the browser has no page")?["targetId"].clone();
        let attached =
            self.send("Target.attachToTarget", json!({ "targetId": page, "flatten": true }));
        self.session = attached.await?["sessionId"].as_str().unwrap_or_default().to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.send(&format!("{domain}.enable"), json!({})).await?;
        }
        Ok(())
    }

    /// One command, and what came of it.
    pub(crate) async fn send(&self, method: &str, params: Value) -> Result<Value, String> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed) + 1;
        let mut command = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            command["sessionId"] = json!(self.session);
        }
        let (sender, answer) = oneshot::channel();
        lock(&self.shared.waiting).insert(id, sender);
        let mut message = command.to_string().into_bytes();
        message.push(0);
        self.pipe.lock().await.write_all(&message).await.map_err(text)?;
        let answer = timeout(PATIENCE, answer).await.map_err(|_| format!("{method}: no answer"))?;
        let answer = answer.map_err(|_| format!("{method}: the browser is gone"))?;
        match answer.get("error") {
            Some(error) => Err(format!("{method}: {error}")),
            None => Ok(answer["result"].clone()),
        }
    }

    /// Opens an address; from now on nothing but its origin may be asked.
    pub(crate) async fn open(&self, url: &str) -> Result<(), String> {
        let origin = url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/");
        *lock(&self.shared.origin) = origin;
        // By way of nothing: only another fragment wouldn't load the page anew.
        self.send("Page.navigate", json!({ "url": "about:blank" })).await?;
        self.send("Page.navigate", json!({ "url": url })).await.map(drop)
    }

    /// Goes to another view of the page that is open.
    pub(crate) async fn go(&self, hash: &str) -> Result<(), String> {
        self.eval(&format!("location.hash = {}", json!(hash))).await.map(drop)
    }

    /// What an expression of JavaScript gives; a promise is waited for.
    pub(crate) async fn eval(&self, script: &str) -> Result<Value, String> {
        let params = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let got = self.send("Runtime.evaluate", params).await?;
        match got.get("exceptionDetails") {
            Some(wrong) => {
                let why = wrong["exception"]["description"].as_str().or(wrong["text"].as_str());
                Err(format!("{script}: {}", why.unwrap_or_default()))
            }
            None => Ok(got["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true, and gives what it is then. What the page shows is told if it never is.
    ///
    /// What waits is a promise of the document that is open. A click, `history.back()` or [`open`](Self::open) may replace that
    /// document only after they were answered, and its promise goes with it: then the next document is asked.
    pub(crate) async fn until(&self, script: &str) -> Result<Value, String> {
        let end = tokio::time::Instant::now() + PATIENCE;
        loop {
            match self.until_in_document(script).await {
                Err(why) if is_left(&why) && tokio::time::Instant::now() < end => {}
                done => return done,
            }
        }
    }

    async fn until_in_document(&self, script: &str) -> Result<Value, String> {
        let wait = format!(
            "(async () => {{ const end = performance.now() + {}; for (;;) {{ let value; try {{ value = {script}; }} catch {{}}
             if (value) return value; if (performance.now() > end) return null;
             await new Promise((done) => setTimeout(done, 40)); }} }})()",
            PATIENCE.as_millis() * 3 / 4
        );
        let value = self.eval(&wait).await?;
        if value.is_null() {
            let shown = self.eval("document.body.innerText.slice(0, 3000)").await?;
            let address = self.eval("location.href").await?;
            let shown = shown.as_str().unwrap_or_default();
            return Err(format!("never true: {script}\nat {address}, the page shows: {shown}"));
        }
        Ok(value)
    }

    /// The same for what happens at a time of its own, so many seconds from now at most.
    pub(crate) async fn patient_until(&self, script: &str, seconds: u32) -> Result<Value, String> {
        let end = tokio::time::Instant::now() + std::time::Duration::from_secs(seconds.into());
        loop {
            match self.until(script).await {
                Err(_) if tokio::time::Instant::now() < end => {}
                done => return done,
            }
        }
    }

    /// Clicks on what a selector finds, as a person does: only what can be seen and isn't covered.
    pub(crate) async fn click(&self, selector: &str) -> Result<(), String> {
        let find = format!(
            "(() => {{ const el = document.querySelector({0}); if (!el) return null; el.scrollIntoView({{ block: 'center' }});
             const box = el.getBoundingClientRect(); const [x, y] = [box.left + box.width / 2, box.top + box.height / 2];
             const at = document.elementFromPoint(x, y); return at && (el.contains(at) || at.contains(el)) && !el.disabled ? [x, y] : null; }})()",
            json!(selector)
        );
        let place = self.until(&find).await?;
        self.press(&place[0], &place[1]).await
    }

    async fn press(&self, x: &Value, y: &Value) -> Result<(), String> {
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.send("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Drags from one point to another.
    pub(crate) async fn drag(&self, from: (f64, f64), to: (f64, f64)) -> Result<(), String> {
        for (kind, (x, y)) in [("mousePressed", from), ("mouseMoved", to), ("mouseReleased", to)] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "buttons": 1, "clickCount": 1 });
            self.send("Input.dispatchMouseEvent", event).await?;
        }
        Ok(())
    }

    /// Presses a key; a letter is also typed.
    pub(crate) async fn key(&self, key: &str) -> Result<(), String> {
        let text = if key.chars().count() == 1 { json!(key) } else { Value::Null };
        let code = match key {
            "Enter" => 13,
            "Escape" => 27,
            "Tab" => 9,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowRight" => 39,
            _ => 0,
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if kind == "keyDown" && !text.is_null() {
                event["text"] = text.clone();
            } else if kind == "keyDown" && key == "Enter" {
                event["text"] = json!("\r");
            }
            self.send("Input.dispatchKeyEvent", event).await?;
        }
        Ok(())
    }

    /// Types into what has the focus.
    pub(crate) async fn type_in(&self, words: &str) -> Result<(), String> {
        self.send("Input.insertText", json!({ "text": words })).await.map(drop)
    }

    /// The size of the window, and whether the system likes it dark.
    pub(crate) async fn window(&self, size: (u32, u32), dark: bool) -> Result<(), String> {
        let (width, height) = size;
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.send("Emulation.setDeviceMetricsOverride", metrics).await?;
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.send("Emulation.setEmulatedMedia", json!({ "features": features })).await.map(drop)
    }

    /// A picture of the window (PNG).
    pub(crate) async fn picture(&self) -> Result<Vec<u8>, String> {
        use base64::Engine as _;
        let shot = self.send("Page.captureScreenshot", json!({ "format": "png" })).await?;
        let data = shot["data"].as_str().ok_or("no picture")?;
        base64::engine::general_purpose::STANDARD.decode(data).map_err(text)
    }

    /// Lets the page save files into a folder.
    pub(crate) async fn save_into(&self, folder: &std::path::Path) -> Result<(), String> {
        let behaviour = json!({ "behavior": "allow", "downloadPath": folder.display().to_string(), "eventsEnabled": true });
        self.send("Browser.setDownloadBehavior", behaviour).await.map(drop)
    }

    /// The next file that was saved whole: its name.
    pub(crate) async fn saved(&self) -> Result<String, String> {
        let wait = async {
            loop {
                let events = lock(&self.shared.downloads).clone();
                let begun = events.iter().find(|event| event["suggestedFilename"].is_string());
                let done = events.iter().any(|event| event["state"] == "completed");
                if let (Some(begun), true) = (begun, done) {
                    return begun["suggestedFilename"].as_str().unwrap_or_default().to_owned();
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, wait).await.map_err(|_| "no file was saved".to_owned())
    }

    /// What the page did wrong since this was asked last.
    pub(crate) fn problems(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.shared.problems))
    }

    /// Fails if the page did anything wrong.
    pub(crate) fn check(&self) -> Result<(), String> {
        let problems = self.problems();
        if problems.is_empty() { Ok(()) } else { Err(problems.join("\n")) }
    }

    /// Ends it, and waits until it is gone.
    pub(crate) async fn close(mut self) -> Result<(), String> {
        drop(self.pipe);
        timeout(PATIENCE, self.process.wait()).await.map_err(text)?.map_err(text).map(drop)
    }
}

impl Shared {
    fn take(&self, message: Value) {
        if let Some(id) = message["id"].as_u64() {
            if let Some(waiting) = lock(&self.waiting).remove(&id) {
                // Whoever asked may have given up.
                let _ = waiting.send(message);
            }
            return;
        }
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => self.problem(&params["exceptionDetails"]),
            "Runtime.consoleAPICalled"
                if params["type"] == "error" || params["type"] == "warning" =>
            {
                self.problem(&params["args"]);
            }
            // Violations of the policy for content come here too.
            "Log.entryAdded" if params["entry"]["level"] == "error" => {
                self.problem(&params["entry"])
            }
            "Network.requestWillBeSent" => {
                let url = params["request"]["url"].as_str().unwrap_or_default();
                let origin = lock(&self.origin).clone();
                let own = ["about:", "data:", &format!("blob:{origin}")];
                let is_own = url.starts_with(&format!("{origin}/"))
                    || own.iter().any(|own| url.starts_with(own));
                if !is_own {
                    self.problem(&json!({ "asked": url }));
                }
            }
            "Browser.downloadWillBegin" | "Browser.downloadProgress" => {
                lock(&self.downloads).push(params.clone());
            }
            _ => {}
        }
    }

    fn problem(&self, what: &Value) {
        lock(&self.problems).push(what.to_string());
    }
}

/// Whether a document couldn't answer because another took its place.
fn is_left(why: &str) -> bool {
    let said = [
        "Inspected target navigated or closed",
        "Execution context was destroyed",
        "Cannot find context with specified id",
        "Cannot find default execution context",
        "Promise was collected",
    ];
    said.iter().any(|said| why.contains(said))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
