//! What the dashboard reads: the live stream and the history.

use std::net::SocketAddr;

use mainstay_config::settings::Admin;
use mainstay_proxy::Proxy;
use serde_json::Value;

use crate::support::*;

fn with_admin(endpoints: &[SocketAddr]) -> Proxy {
    let mut settings = settings(endpoints);
    settings.admin = Some(Admin { address: "127.0.0.1:0".parse().unwrap(), token: None });
    start(settings)
}

/// A reader of `/live`.
pub(crate) struct Reader {
    app: App,
    /// Taken out of its chunks, and not yet read.
    text: String,
}

/// An event of it.
pub(crate) struct Seen {
    id: String,
    name: String,
    pub(crate) data: Value,
}

impl Reader {
    pub(crate) fn of(proxy: &Proxy, since: Option<&str>) -> Self {
        let mut app = App::at(proxy.admin_address().unwrap());
        let since = since.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        app.send(format!("GET /live HTTP/1.1\r\nHost: localhost\r\n{since}\r\n"));
        app.expect("text/event-stream");
        app.expect("\r\n\r\n");
        Self { app, text: String::new() }
    }

    /// The next event, whatever it is.
    fn next(&mut self) -> Seen {
        let mut field = |name: &str| loop {
            if let Some(value) = self.line().strip_prefix(name) {
                return value.to_owned();
            }
        };
        let (id, name, data) = (field("id: "), field("event: "), field("data: "));
        Seen { id, name, data: serde_json::from_str(&data).unwrap() }
    }

    fn line(&mut self) -> String {
        loop {
            if let Some((line, rest)) = self.text.split_once('\n') {
                let (line, rest) = (line.to_owned(), rest.to_owned());
                self.text = rest;
                return line;
            }
            let size = self.app.line();
            let size = usize::from_str_radix(&size, 16).unwrap();
            let chunk = self.app.bytes(size + 2);
            self.text.push_str(std::str::from_utf8(&chunk[..size]).unwrap());
        }
    }

    /// The next event of this name that is as wanted.
    pub(crate) fn find(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Seen {
        let begun = std::time::Instant::now();
        while begun.elapsed() < PATIENCE {
            let seen = self.next();
            if seen.name == name && wanted(&seen.data) {
                return seen;
            }
        }
        panic!("no {name} as wanted came");
    }
}

#[test]
fn a_reader_gets_everything_then_what_changes() {
    let origin = Origin::good();
    let proxy = with_admin(&[origin.address]);
    let mut reader = Reader::of(&proxy, None);
    let hello = reader.next();
    assert_eq!((&*hello.name, &hello.data["resumed"]), ("hello", &false.into()));
    assert_eq!(
        (&hello.data["may_act"], &hello.data["why_not"]),
        (&false.into(), &"no-token".into())
    );
    let state = reader.next();
    assert_eq!((&*state.name, &state.data["full"]), ("state", &true.into()));
    let endpoint = &state.data["upstreams"][0]["endpoints"][0];
    assert_eq!((&endpoint["state"], &endpoint["in_flight"]), (&"up".into(), &0.into()));
    let changes = reader.next();
    assert_eq!((&*changes.name, &changes.data["changes"]), ("changes", &serde_json::json!([])));
    let mut app = App::of(&proxy);
    assert_eq!(app.get("/").status, 200);
    let seen = reader.find("state", |data| {
        data["full"] == false && data["upstreams"][0]["minute"]["success"] == 1.0
    });
    let upstream = &seen.data["upstreams"][0];
    assert_eq!((&upstream["name"], &upstream["minute"]["calls"]), (&"api".into(), &1.into()));
    // What hasn't changed isn't there.
    assert!(upstream.get("state").is_none() && seen.data.get("generation").is_none(), "{upstream}");
    assert!(upstream["endpoints"][0].get("tier").is_none());
}

#[test]
fn broken_calls_and_changes_are_told_and_who_was_away_gets_the_changes_that_it_missed() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = with_admin(&[closed]);
    let mut reader = Reader::of(&proxy, None);
    reader.find("changes", |_| true);
    let id = App::of(&proxy).get("/x").member("call");
    let calls = reader
        .find("calls", |data| data["calls"].as_array().is_some_and(|calls| !calls.is_empty()));
    let call = &calls.data["calls"][0];
    assert_eq!((&call["id"], &call["path"], &call["failed"]), (&id, &"/x".into(), &true.into()));
    assert_eq!(call["breaks"][0]["code"], "connect-refused");
    assert_eq!(calls.data["left_out"], 0);
    // Its attempts open the breaker.
    App::of(&proxy).get("/y");
    let has = |data: &Value, event: &str| {
        data["changes"].as_array().unwrap().iter().any(|one| one["event"] == event)
    };
    let opened = reader.find("changes", |data| has(data, "breaker-opened"));
    let state =
        reader.find("state", |data| data["upstreams"][0]["endpoints"][0]["state"] == "open");
    let upstream = &state.data["upstreams"][0];
    assert_eq!(upstream["state"], "down");
    assert!(upstream["endpoints"][0]["breaker"]["until_unix_ms"].as_u64() > Some(0), "{upstream}");
    drop(reader);

    let name = closed.to_string().replace(':', "%3A");
    let order = format!("POST /upstreams/api/endpoints/{name}/breaker");
    let mut admin = App::at(proxy.admin_address().unwrap());
    let request = format!("{order} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nclosed");
    assert_eq!(admin.send(request).answer().status, 200);
    let mut reader = Reader::of(&proxy, Some(&opened.id));
    let hello = reader.next();
    assert_eq!((&hello.data["resumed"], &hello.data["missed"]), (&true.into(), &0.into()));
    let missed = reader.find("changes", |_| true);
    assert!(has(&missed.data, "ordered") && has(&missed.data, "breaker-closed"), "{}", missed.data);
    assert!(!has(&missed.data, "breaker-opened"), "{}", missed.data);
}

#[test]
fn the_last_hour_can_be_asked_for() {
    let origin = Origin::good();
    let proxy = with_admin(&[origin.address]);
    let ask = |query: &str| {
        let request = format!("GET /timeline{query} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        App::at(proxy.admin_address().unwrap()).send(request).answer()
    };
    App::of(&proxy).get("/");
    let sum = |column: &Value| -> u64 {
        column.as_array().unwrap().iter().filter_map(Value::as_u64).sum()
    };
    // Nothing is known before the first look.
    until(|| ask("").member("upstreams")[0]["calls"].is_array());
    let upstreams = ask("").member("upstreams");
    let api = &upstreams[0];
    assert_eq!(
        (&api["name"], &api["endpoints"], sum(&api["calls"])),
        (&"api".into(), &Value::Null, 1)
    );
    let upstreams = ask("?upstream=api&fields=attempts,state").member("upstreams");
    let endpoint = &upstreams[0]["endpoints"][0];
    assert_eq!(sum(&endpoint["attempts"]), 1);
    assert!(endpoint["state"].as_str().unwrap().ends_with(['u', 'w']), "{endpoint}");
    assert!(endpoint.get("p99_ms").is_none());
    let wrong = ask("?upstream=nope");
    assert_eq!((wrong.status, wrong.member("allowed")), (400, "api".into()));
    assert_eq!(ask("?fields=p98_ms").status, 400);
}

#[test]
fn an_outage_is_an_incident_that_can_be_asked_for_with_what_it_cost() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let proxy = with_admin(&[closed]);
    let mut reader = Reader::of(&proxy, None);
    let told = reader.find("incidents", |_| true);
    assert_eq!(told.data["incidents"], serde_json::json!([]));
    // Both calls' attempts are refused; the second's open the breaker.
    App::of(&proxy).get("/1");
    let call = App::of(&proxy).get("/2").member("call");
    let is_refused = |data: &Value| data["incidents"][0]["cause"] == "connect-refused";
    let told = reader.find("incidents", is_refused);
    let incident = &told.data["incidents"][0];
    assert_eq!(
        (&incident["endpoint"], &incident["state"]),
        (&closed.to_string().into(), &"open".into())
    );
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        App::at(proxy.admin_address().unwrap()).send(request).answer()
    };
    let list = ask("/incidents?state=open&limit=1").member("incidents");
    assert_eq!(list[0]["id"], incident["id"]);
    assert_eq!((&list[0]["calls"]["met"], &list[0]["calls"]["failed"]), (&2.into(), &2.into()));
    let got = ask(&format!("/incidents/{}", incident["id"].as_str().unwrap()));
    let detail: Value = serde_json::from_str(&got.body).unwrap();
    assert!(detail["calls"].as_array().unwrap().iter().any(|one| one["id"] == call), "{detail}");
    let events = detail["changes"].as_array().unwrap();
    assert!(events.iter().any(|one| one["event"] == "breaker-opened"), "{detail}");
    assert_eq!(ask("/incidents/i99").status, 404);
    assert_eq!(ask("/incidents?state=shut").status, 400);
    let metrics = ask("/metrics").body;
    assert!(
        metrics.contains("mainstay_incidents_total{upstream=\"api\",cause=\"connect-refused\"} 1"),
        "{metrics}"
    );
    assert!(metrics.contains("mainstay_incidents_open{upstream=\"api\"} 1"));
}

#[test]
fn a_webhook_is_told_of_an_incident_signed_and_through_its_own_upstream() {
    let hook = Origin::good();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let secrets = dir.path().join("secrets");
    std::fs::write(&secrets, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
    let config = format!(
        "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\n\n[incidents]\nbreaks = 2\n\
         webhook = {{ upstream = \"pager\", path = \"/hooks?x=1\" }}\n\n\
         [outbox]\ncallback_secrets_file = {:?}\n\n\
         [upstream.api]\nendpoints = [\"http://{closed}\"]\n\n[upstream.pager]\nendpoints = [\"http://{}\"]\n\n\
         [[route]]\nupstream = \"api\"\n",
        secrets.display().to_string(),
        hook.address,
    );
    let settings = mainstay_config::parse(&config, "the test's config").unwrap().settings;
    let proxy = start(settings);
    App::of(&proxy).get("/x");
    let told = hook.hear();
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("post /hooks?x=1 http/1.1\r\n"), "{head}");
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name}: {head}")).to_owned()
    };
    assert!(field("webhook-id").ends_with("-i1-began"), "{head}");
    assert!(field("webhook-signature").starts_with("v1,"), "{head}");
    assert!(field("webhook-timestamp").parse::<u64>().is_ok(), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(
        (&body["type"], &body["data"]["cause"]),
        (&"incident.began".into(), &"connect-refused".into())
    );
    assert_eq!(body["data"]["endpoint"], closed.to_string());
}
