//! Applications that are told what became of their stored writes.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use mainstay_config::Settings;
use mainstay_proxy::{Proxy, ReloadError};
use serde_json::Value;

use crate::support::{App, Got, Origin, read_request, start, until};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// The API's writes are stored first, and `app` is told of them.
fn told(dir: &Path, api: SocketAddr, app: SocketAddr, callback: &str) -> Settings {
    std::fs::write(dir.join("secrets"), format!("{SECRET}\n{OTHER}\n")).unwrap();
    let text = format!(
        r#"
        listen = "127.0.0.1:0"
        admin = false
        threads = 2
        [outbox]
        path = "{dir}/outbox.db"
        reserve = 0
        callback_secrets_file = "{dir}/secrets"
        [upstream.api]
        endpoints = ["http://{api}"]
        health = false
        outbox = {{ mode = "always", base = "100ms", cap = "100ms", callback = {{ upstream = "app"{callback} }} }}
        [upstream.app]
        endpoints = ["http://{app}/base"]
        retry.max_attempts = 1
        health = false
        [[route]]
        upstream = "api"
        "#,
        dir = dir.display(),
    );
    mainstay_config::parse(&text, "test").unwrap_or_else(|errors| panic!("{errors}")).settings
}

fn post(proxy: &Proxy, fields: &str) -> Got {
    let text =
        format!("POST /orders HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n{fields}\r\none");
    App::of(proxy).send(text).answer()
}

fn created() -> Origin {
    Origin::answering(
        "HTTP/1.1 201 Created\r\nx-order: 7\r\nset-cookie: s3cret\r\ncontent-length: 4\r\n\r\ndone",
        false,
    )
}

/// A callback as it was heard.
struct Heard {
    line: String,
    head: String,
    body: Value,
}

impl Heard {
    fn of(app: &Origin) -> Self {
        let text = app.hear();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let line = head.lines().next().unwrap().to_owned();
        Self { line, head: head.to_owned(), body: serde_json::from_str(body).unwrap() }
    }

    fn field(&self, name: &str) -> &str {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
    }
}

#[test]
fn an_application_is_told_with_the_answer_and_signatures_of_every_secret() {
    let (dir, api, app) = (tempfile::tempdir().unwrap(), created(), Origin::good());
    let proxy = start(told(dir.path(), api.address, app.address, ", path = \"/hooks?a=b\""));
    let got = post(&proxy, "");
    assert_eq!(got.status, 202, "{got:?}");
    let heard = Heard::of(&app);
    assert_eq!(heard.line, "POST /base/hooks?a=b HTTP/1.1");
    assert_eq!(heard.body["type"], "delivery.delivered");
    let data = &heard.body["data"];
    assert_eq!((&data["id"], &data["key"]), (&got.member("id"), &got.member("key")));
    assert_eq!((&data["status"], &data["answer"]["body"]), (&201.into(), &"done".into()));
    assert!(!heard.body.to_string().contains("s3cret"));
    let signatures: Vec<_> = heard.field("webhook-signature").split(' ').collect();
    assert!(signatures.len() == 2 && signatures.iter().all(|one| one.starts_with("v1,")));
    assert!(heard.field("webhook-timestamp").parse::<u64>().is_ok());
    assert_eq!(heard.field("content-type"), "application/json");
    // A callback is told to nobody, and the API hears nothing of it.
    assert_eq!(api.hear().matches("webhook").count(), 0);
    until(|| proxy_list(dir.path()).iter().all(|state| *state == "delivered"));
    assert_eq!(proxy_list(dir.path()).len(), 2);
}

/// The states of all that is in the store, as another process sees them.
fn proxy_list(dir: &Path) -> Vec<&'static str> {
    use mainstay_outbox::store::{Access, Limits, Page};
    use mainstay_outbox::{Filter, Keys, Store};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let path = dir.join("outbox.db");
    let store = Store::open(&path, Keys::default(), Limits::default(), Access::Visit).unwrap();
    let page = Page { after: None, most: 100 };
    let list = runtime.block_on(store.list(Filter::default(), page)).unwrap();
    list.iter().map(|one| one.state.name()).collect()
}

#[test]
fn a_refusal_is_told_as_a_dead_letter() {
    let (dir, app) = (tempfile::tempdir().unwrap(), Origin::good());
    let api = Origin::answering("HTTP/1.1 422 No\r\ncontent-length: 4\r\n\r\nnope", false);
    let proxy = start(told(dir.path(), api.address, app.address, ", path = \"/hooks\""));
    post(&proxy, "");
    let heard = Heard::of(&app);
    assert_eq!(heard.body["type"], "delivery.dead");
    let data = &heard.body["data"];
    assert_eq!((&data["reason"], &data["answer"]["body"]), (&"rejected".into(), &"nope".into()));
}

#[test]
fn a_callback_is_sent_again_under_the_same_id_until_it_arrives() {
    let (dir, api) = (tempfile::tempdir().unwrap(), created());
    let app = Origin::with(|mut tcp, heard| {
        let is_first = std::sync::atomic::AtomicBool::new(true);
        while let Some(request) = read_request(&mut tcp) {
            heard.send(request).unwrap();
            let is_first = is_first.swap(false, std::sync::atomic::Ordering::SeqCst);
            let status = if is_first { "500 Oh" } else { "204 Fine" };
            let _ =
                tcp.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes());
        }
    });
    let proxy = start(told(dir.path(), api.address, app.address, ", path = \"/hooks\""));
    post(&proxy, "");
    let (first, second) = (Heard::of(&app), Heard::of(&app));
    assert_eq!(first.field("webhook-id"), second.field("webhook-id"));
    assert_eq!(first.field("webhook-id").len(), 32);
    assert_eq!(first.body, second.body);
    until(|| proxy_list(dir.path()) == ["delivered", "delivered"]);
}

#[test]
fn a_request_may_choose_another_path_and_nothing_else() {
    let (dir, api, app) = (tempfile::tempdir().unwrap(), created(), Origin::good());
    let proxy = start(told(dir.path(), api.address, app.address, ""));
    for wrong in ["http://evil.test/", "hooks", "/../admin", "/%2e%2e/admin", "/a b"] {
        let got = post(&proxy, &format!("Mainstay-Callback: {wrong}\r\n"));
        assert_eq!(got.status, 400, "{wrong}: {got:?}");
    }
    let twice = post(&proxy, "Mainstay-Callback: /a\r\nMainstay-Callback: /b\r\n");
    assert_eq!(twice.status, 400);
    // Nobody is told where neither the route nor the request says where.
    assert_eq!(post(&proxy, "").status, 202);
    assert_eq!(post(&proxy, "Mainstay-Callback: /hooks/orders?id=7\r\n").status, 202);
    assert_eq!(Heard::of(&app).line, "POST /base/hooks/orders?id=7 HTTP/1.1");
    for _ in 0..2 {
        assert!(!api.hear().to_ascii_lowercase().contains("mainstay-callback"));
    }
    until(|| proxy_list(dir.path()) == ["delivered"; 3]);
    assert!(app.heard().is_empty() && api.heard().is_empty());
}

#[test]
fn a_route_without_callbacks_refuses_to_promise_one() {
    let (dir, api, app) = (tempfile::tempdir().unwrap(), created(), Origin::good());
    let mut settings = told(dir.path(), api.address, app.address, "");
    settings.routes[0].outbox.as_mut().unwrap().callback = None;
    let proxy = start(settings);
    assert_eq!(post(&proxy, "Mainstay-Callback: /hooks\r\n").status, 400);
    // A read isn't stored, and the field isn't the API's.
    let mut reader = App::of(&proxy);
    reader
        .send("GET /orders HTTP/1.1\r\nHost: a.test\r\nMainstay-Callback: /hooks\r\n\r\n")
        .answer();
    assert!(!api.hear().to_ascii_lowercase().contains("mainstay-callback"));
}

#[test]
fn secrets_are_changed_by_a_reload_and_wrong_ones_are_refused() {
    let (dir, api, app) = (tempfile::tempdir().unwrap(), created(), Origin::good());
    let settings = told(dir.path(), api.address, app.address, ", path = \"/hooks\"");
    let proxy = start(settings.clone());
    std::fs::write(dir.path().join("secrets"), "whsec_short").unwrap();
    let refused = proxy.reload(settings.clone()).unwrap_err();
    assert!(matches!(refused, ReloadError::Start(_)));
    let told = refused.to_string();
    assert!(told.contains("secrets: number 1 isn't a secret") && !told.contains("short"), "{told}");
    std::fs::write(dir.path().join("secrets"), OTHER).unwrap();
    proxy.reload(settings).unwrap();
    post(&proxy, "");
    assert_eq!(Heard::of(&app).field("webhook-signature").split(' ').count(), 1);
}
