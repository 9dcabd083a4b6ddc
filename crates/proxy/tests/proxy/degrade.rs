//! Answers that stand in for those that don't come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_config::Settings;
use mainstay_config::settings::{Fallback, Stale};
use mainstay_core::degrade::{FallbackSettings, StaleSettings};
use mainstay_core::retry::{MaxAttempts, RetrySettings};
use mainstay_core::{CallPolicy, Checked};

use crate::support::*;

const ONCE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nx-mine: 1\r\n";

/// An upstream that answers as it is told until it is told to break: then each connection is closed.
struct Fickle {
    origin: Origin,
    broken: Arc<AtomicBool>,
}

impl Fickle {
    /// Each answer is the next of these; the last one goes on.
    fn saying(answers: &[String]) -> Self {
        let broken = Arc::new(AtomicBool::new(false));
        let (is_broken, answers, next) =
            (Arc::clone(&broken), answers.to_vec(), AtomicUsize::new(0));
        let origin = Origin::with(move |mut tcp, heard| {
            while let Some(request) = read_request(&mut tcp) {
                let _ = heard.send(request);
                let place = next.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
                if is_broken.load(Ordering::SeqCst)
                    || std::io::Write::write_all(&mut tcp, answers[place].as_bytes()).is_err()
                {
                    return;
                }
            }
        });
        Self { origin, broken }
    }

    fn saying_once(fields: &str) -> Self {
        Self::saying(&[format!("{ONCE}{fields}\r\nbody")])
    }

    fn breaks(&self) {
        self.broken.store(true, Ordering::SeqCst);
    }

    /// Settings with one attempt, and this of its only route.
    fn settings(&self, stale: Option<Stale>, fallback: Option<Fallback>) -> Settings {
        let mut settings = settings(&[self.origin.address]);
        let retry = RetrySettings {
            max_attempts: MaxAttempts::new(1).unwrap(),
            ..RetrySettings::default()
        };
        let policy = CallPolicy { retry, ..CallPolicy::default() };
        let route = &mut settings.routes[0];
        route.policy = Arc::new(Checked::new(policy).unwrap());
        (route.stale, route.fallback) = (stale, fallback);
        settings
    }
}

fn minute() -> Option<Stale> {
    let if_error = Some(Duration::from_secs(60));
    Some(Stale {
        policy: StaleSettings { if_error, ..StaleSettings::default() },
        ..Stale::default()
    })
}

/// What a GET gets before and after its upstream breaks.
fn after(stale: Option<Stale>, fields: &str, request: &str) -> Got {
    let fickle = Fickle::saying_once(fields);
    let proxy = start(fickle.settings(stale, None));
    let get = |request: &str| {
        let text = format!("GET /a?b HTTP/1.1\r\nHost: app.test\r\n{request}\r\n");
        App::of(&proxy).send(text).answer()
    };
    let good = get(request);
    assert_eq!((good.status, good.body.as_str()), (200, "body"));
    assert_eq!(good.field("age"), None, "while the upstream answers, it answers");
    fickle.breaks();
    get(request)
}

#[test]
fn an_answer_that_was_good_stands_in_and_says_so() {
    let got = after(Some(Stale::default()), "cache-control: max-age=0, stale-if-error=60\r\n", "");
    assert_eq!((got.status, got.body.as_str()), (200, "body"));
    assert_eq!((got.field("age"), got.field("x-mine")), (Some("0"), Some("1")));
    assert_eq!(got.field("content-length"), Some("4"));
    assert_eq!(got.field("via"), Some("1.1 mainstay"));
    let marked = got.field("proxy-status").unwrap();
    // Where the close is seen, on its way or as the answer is awaited, isn't the matter here.
    let start = "mainstay; error=connection_terminated; details=\"stale answer, 0 s old, after ";
    assert!(marked.starts_with(start) && marked.ends_with(" (maybe-processed)\""), "{marked}");
    assert!(got.field("mainstay-call-id").is_some());
}

#[test]
fn an_answer_that_came_in_many_pieces_is_kept_whole() {
    // Too much for one read, and small enough to be held back until it is whole.
    let body: String = ('a'..='z').cycle().take(60_000).collect();
    let fickle =
        Fickle::saying(&[format!("HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n{body}")]);
    let proxy = start(fickle.settings(minute(), None));
    let get = || App::of(&proxy).send("GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n").answer();
    assert!(get().body == body);
    fickle.breaks();
    let stale = get();
    assert_eq!((stale.status, stale.field("age"), stale.body.len()), (200, Some("0"), 60_000));
    assert!(stale.body == body);
}

#[test]
fn what_a_route_allows_counts_only_where_the_answer_says_nothing() {
    assert_eq!(after(Some(Stale::default()), "", "").status, 502);
    assert_eq!(after(minute(), "", "").status, 200);
    for fields in [
        "cache-control: no-store\r\n",
        "cache-control: no-cache\r\n",
        "cache-control: private\r\n",
        "cache-control: max-age=0, must-revalidate\r\n",
        "cache-control: stale-if-error=0\r\n",
        "set-cookie: a=b\r\n",
        "vary: *\r\n",
    ] {
        assert_eq!(after(minute(), fields, "").status, 502, "{fields}");
    }
    assert_eq!(after(None, "cache-control: stale-if-error=60\r\n", "").status, 502);
}

#[test]
fn a_request_can_forbid_it_and_authorised_ones_need_leave() {
    assert_eq!(after(minute(), "", "Cache-Control: no-cache\r\n").status, 502);
    assert_eq!(after(minute(), "", "Cache-Control: no-store\r\n").status, 502);
    assert_eq!(after(minute(), "", "Range: bytes=0-1\r\n").status, 502);
    let authorised = "Authorization: Bearer x\r\n";
    assert_eq!(after(minute(), "", authorised).status, 502);
    assert_eq!(after(minute(), "cache-control: public\r\n", authorised).status, 200);
}

#[test]
fn only_bodies_that_came_whole_are_kept() {
    for (first, kept) in [
        (format!("{ONCE}\r\nbody"), true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
                .to_owned(),
            true,
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n".to_owned(), false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbody".to_owned(), false),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nbody".to_owned(), false),
    ] {
        let whole = Arc::new(first);
        let broken = Arc::new(AtomicBool::new(false));
        let (says, is_broken) = (Arc::clone(&whole), Arc::clone(&broken));
        let origin = Origin::with(move |mut tcp, _| {
            if read_request(&mut tcp).is_some() && !is_broken.load(Ordering::SeqCst) {
                let _ = std::io::Write::write_all(&mut tcp, says.as_bytes());
            }
        });
        let fickle = Fickle { origin, broken };
        let proxy = start(fickle.settings(minute(), None));
        let request = "GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";
        App::of(&proxy).send(request).rest();
        fickle.breaks();
        let got = App::of(&proxy).send(request).rest();
        let status = if kept { "HTTP/1.1 200 OK" } else { "HTTP/1.1 502 Bad Gateway" };
        assert!(got.starts_with(status), "{whole} {got}");
        assert!(!kept || got.ends_with("\r\n\r\nbody"), "{whole} {got}");
    }
}

#[test]
fn a_write_gets_nothing_stale_and_takes_what_it_changed_with_it() {
    let fickle = Fickle::saying_once("");
    let proxy = start(fickle.settings(minute(), None));
    let mut app = App::of(&proxy);
    let post = "POST /a HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n";
    assert_eq!((app.get("/a").status, app.get("/b").status), (200, 200));
    assert_eq!(app.send(post).answer().status, 200);
    fickle.breaks();
    assert_eq!(app.get("/a").status, 502, "it was changed since");
    assert_eq!(app.get("/b").status, 200);
    let post = post.replace("/a", "/b");
    assert_eq!(app.send(post).answer().status, 502);
    let head = "HEAD /b HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n";
    let got = app.send(head).rest();
    assert!(got.starts_with("HTTP/1.1 200") && got.ends_with("\r\n\r\n"), "{got}");
}

#[test]
fn an_error_of_the_upstreams_own_is_replaced_where_the_rfc_says_so() {
    let of = |status: &str| format!("HTTP/1.1 {status} x\r\ncontent-length: 5\r\n\r\nerror");
    for (status, replaced) in [("503", true), ("500", true), ("501", false), ("429", false)] {
        let fickle = Fickle::saying(&[format!("{ONCE}\r\nbody"), of(status)]);
        let proxy = start(fickle.settings(minute(), None));
        let mut app = App::of(&proxy);
        app.get("/");
        let got = app.get("/");
        let wanted = if replaced { "200" } else { status };
        assert_eq!(got.status.to_string(), wanted);
        let marked = got.field("proxy-status").unwrap();
        assert_eq!(
            marked.contains(&format!("received-status={status}; details=\"stale")),
            replaced
        );
        if replaced {
            let record = &proxy.recorder().recent()[0];
            assert_eq!((&*record.outcome, record.degraded.as_deref()), ("as_is", Some("stale")));
        }
        let errors_go_on = Stale {
            policy: StaleSettings { instead_of_errors: false, ..minute().unwrap().policy },
            ..Stale::default()
        };
        let fickle = Fickle::saying(&[format!("{ONCE}\r\nbody"), of(status)]);
        let proxy = start(fickle.settings(Some(errors_go_on), None));
        let mut app = App::of(&proxy);
        app.get("/");
        assert_eq!(app.get("/").status.to_string(), status);
    }
}

fn fixed(policy: FallbackSettings) -> Option<Fallback> {
    Some(Fallback {
        policy,
        status: 203,
        headers: vec![("x-mode".into(), "degraded".into())],
        body: Some("[]".into()),
        ..Fallback::default()
    })
}

#[test]
fn a_fixed_answer_stands_in_after_what_is_kept_and_not_for_a_write() {
    let fickle = Fickle::saying_once("");
    let proxy = start(fickle.settings(minute(), fixed(FallbackSettings::default())));
    let mut app = App::of(&proxy);
    app.get("/known");
    fickle.breaks();
    assert_eq!((app.get("/known").status, app.get("/known").body.as_str()), (200, "body"));
    let got = app.get("/other");
    assert_eq!((got.status, got.body.as_str()), (203, "[]"));
    assert_eq!(got.field("content-type"), Some("application/json"));
    assert_eq!(
        (got.field("x-mode"), got.field("cache-control")),
        (Some("degraded"), Some("no-store"))
    );
    assert_eq!((got.field("age"), got.field("content-length")), (None, Some("2")));
    let marked = got.field("proxy-status").unwrap();
    assert!(
        marked.starts_with("mainstay; error=")
            && marked.contains("details=\"fallback answer after ")
    );
    let post = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(app.send(post).answer().status / 100, 5);

    let text = proxy.recorder().metrics_text(false, &[]);
    assert!(text.contains("mainstay_degraded_total{upstream=\"api\",kind=\"stale\"} 2"), "{text}");
    assert!(text.contains("mainstay_degraded_total{upstream=\"api\",kind=\"static\"} 1"), "{text}");
    let recent = proxy.recorder().recent();
    let record = recent.iter().find(|record| record.path == "/other").unwrap();
    assert_eq!((&*record.outcome, record.status), ("failed", Some(203)));
    assert_eq!(record.degraded.as_deref(), Some("static"));
}

#[test]
fn a_write_gets_the_fixed_answer_only_where_a_route_takes_the_danger() {
    let fickle = Fickle::saying_once("");
    fickle.breaks();
    let all = FallbackSettings { any_method: true, instead_of_errors: false };
    let proxy = start(fickle.settings(None, fixed(all)));
    let post = "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 0\r\n\r\n";
    let got = App::of(&proxy).send(post).answer();
    assert_eq!(got.status, 203);
    assert!(got.field("proxy-status").unwrap().contains("reset-before-head (maybe-processed)"));
}

#[test]
fn a_fixed_answer_comes_from_a_file_which_must_be_there() {
    let fickle = Fickle::saying_once("");
    fickle.breaks();
    let path = std::env::temp_dir().join(format!("mainstay-fallback-{}", std::process::id()));
    std::fs::write(&path, "from a file").unwrap();
    let of_file = || Fallback { file: Some(path.clone()), ..Fallback::default() };
    let proxy = start(fickle.settings(None, Some(of_file())));
    assert_eq!(App::of(&proxy).get("/").body, "from a file");
    std::fs::remove_file(&path).unwrap();
    let error = proxy.reload(fickle.settings(None, Some(of_file()))).unwrap_err().to_string();
    assert!(
        error.contains("route \"all\"") && error.contains("can't read the fallback"),
        "{error}"
    );
    assert_eq!(App::of(&proxy).get("/").body, "from a file", "the old settings go on");
}

#[test]
fn a_reload_keeps_what_is_kept() {
    let fickle = Fickle::saying_once("");
    let proxy = start(fickle.settings(minute(), None));
    App::of(&proxy).get("/");
    fickle.breaks();
    proxy.reload(fickle.settings(minute(), None)).unwrap();
    assert_eq!(App::of(&proxy).get("/").status, 200);
    let mut smaller = fickle.settings(minute(), None);
    smaller.limits.stale_bytes_total = 64 * 1024;
    proxy.reload(smaller).unwrap();
    assert_eq!(App::of(&proxy).get("/").status, 502);
}
