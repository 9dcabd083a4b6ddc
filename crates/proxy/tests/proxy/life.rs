//! Start, reload, drain.

use std::net::TcpListener;
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use mainstay_config::settings::{Admin, Listener, Matcher, PathMatch, Secret};
use mainstay_proxy::{Options, Proxy, ReloadError, StartError};

use crate::support::*;

/// An upstream that answers when told.
fn waiting() -> (Origin, Sender<()>) {
    let (go_on, told) = channel::<()>();
    let told = Mutex::new(told);
    let origin = Origin::with(move |mut tcp, heard| {
        while let Some(request) = read_request(&mut tcp) {
            let _ = heard.send(request);
            if told.lock().unwrap().recv_timeout(PATIENCE).is_err() {
                return;
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nlate";
            if std::io::Write::write_all(&mut tcp, answer).is_err() {
                return;
            }
        }
    });
    (origin, go_on)
}

fn drain(proxy: &Proxy, limit: Duration) -> usize {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(proxy.drain(limit))
}

#[test]
fn an_address_that_cant_be_bound_is_named_and_nothing_runs() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut settings = settings(&[]);
    settings.listeners.push(Listener { address: taken.local_addr().unwrap(), tls: None });
    let error = Proxy::start(settings, Options::quiet()).unwrap_err();
    assert!(
        matches!(&error, StartError::Bind(bind) if bind.address == taken.local_addr().unwrap())
    );
    assert!(error.to_string().contains(&taken.local_addr().unwrap().to_string()));
}

#[test]
fn an_admin_address_for_everybody_needs_a_token() {
    let open = |token: Option<&str>| {
        let mut settings = settings(&[]);
        let token = token.map(|token| Secret::new(token.into()));
        settings.admin = Some(Admin { address: "0.0.0.0:0".parse().unwrap(), token });
        Proxy::start(settings, Options::quiet())
    };
    assert!(matches!(open(None), Err(StartError::AdminWithoutToken(_))));
    assert!(open(Some("t")).is_ok());
}

#[test]
fn a_reload_takes_new_routes_for_new_requests_and_leaves_calls_alone() {
    let (origin, go_on) = waiting();
    let other = Origin::good();
    let proxy = start(settings(&[origin.address]));
    let mut app = App::of(&proxy);
    app.send("GET /before HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(origin.hear().starts_with("GET /before "));

    let mut next = settings(&[other.address]);
    next.routes = vec![route(
        "v1",
        Matcher { path: Some(PathMatch::Prefix("/v1".into())), ..Matcher::default() },
    )];
    proxy.reload(next).unwrap();
    let mut fresh = App::of(&proxy);
    assert_eq!((fresh.get("/v1/x").status, fresh.get("/v2").status), (200, 404));
    assert!(other.hear().starts_with("GET /v1/x "));

    go_on.send(()).unwrap();
    assert_eq!(app.answer().body, "late");
    // The connection goes on, by the new routes.
    assert_eq!((app.get("/v1").status, app.get("/v2").status), (200, 404));
    assert!(origin.heard().is_empty());
}

#[test]
fn a_reload_binds_new_addresses_and_lets_go_of_old_ones() {
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let old = proxy.addresses()[0];
    let mut app = App::of(&proxy);
    assert_eq!(app.get("/").status, 200);

    let mut next = settings(&[origin.address]);
    next.listeners = vec![Listener { address: "[::1]:0".parse().unwrap(), tls: None }];
    proxy.reload(next).unwrap();
    let new = proxy.addresses();
    assert!(new.len() == 1 && new[0].is_ipv6());
    assert_eq!(App::at(new[0]).get("/").status, 200);
    until(|| std::net::TcpStream::connect(old).is_err());
    assert_eq!(app.get("/").status, 200);
}

#[test]
fn what_cant_be_changed_to_changes_nothing() {
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let before = proxy.addresses();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut next = settings(&[]);
    next.listeners.push(Listener { address: taken.local_addr().unwrap(), tls: None });
    assert!(matches!(proxy.reload(next), Err(ReloadError::Start(StartError::Bind(_)))));
    let mut next = settings(&[origin.address]);
    next.threads = Some(3);
    assert!(matches!(proxy.reload(next), Err(ReloadError::NeedsRestart("threads"))));
    assert_eq!(proxy.addresses(), before);
    assert_eq!(App::of(&proxy).get("/").status, 200);
}

#[test]
fn a_bad_file_is_refused_with_all_its_errors() {
    let origin = Origin::good();
    let proxy = proxy(&origin);
    let file = std::env::temp_dir().join(format!("mainstay-bad-{}.toml", std::process::id()));
    std::fs::write(
        &file,
        "nonsense = 1\n[upstream.a]\nendpoints = [\"ftp://x\"]\nstill_nonsense = 2\n",
    )
    .unwrap();
    let error = proxy.reload_from(&file).unwrap_err().to_string();
    std::fs::remove_file(&file).unwrap();
    for wrong in ["nonsense", "ftp://x", "still_nonsense"] {
        assert!(error.contains(wrong), "{wrong} isn't in {error}");
    }
    assert_eq!(App::of(&proxy).get("/").status, 200);
}

#[test]
fn a_drain_finishes_what_goes_on_and_closes_what_is_idle() {
    let (origin, go_on) = waiting();
    let proxy = start(settings(&[origin.address]));
    let (mut busy, mut idle) = (App::of(&proxy), App::of(&proxy));
    go_on.send(()).unwrap();
    assert_eq!(idle.get("/idle").body, "late");
    busy.send("GET /busy HTTP/1.1\r\nHost: a\r\n\r\n");
    while !origin.hear().starts_with("GET /busy ") {}
    until(|| proxy.connections() == 2);
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| drain(&proxy, PATIENCE));
        assert!(idle.is_closed());
        assert!(!drained.is_finished());
        go_on.send(()).unwrap();
        let got = busy.answer();
        assert_eq!((got.body.as_str(), got.field("connection")), ("late", Some("close")));
        assert!(busy.is_closed());
        assert_eq!(drained.join().unwrap(), 0);
    });
    assert!(std::net::TcpStream::connect(proxy.addresses()[0]).is_err());
    assert!(matches!(proxy.reload(settings(&[])), Err(ReloadError::Stopping)));
}

#[test]
fn a_drain_that_takes_too_long_says_how_many_calls_are_cut() {
    let (origin, _go_on) = waiting();
    let proxy = start(settings(&[origin.address]));
    let mut app = App::of(&proxy);
    app.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    origin.hear();
    assert_eq!(drain(&proxy, Duration::from_millis(20)), 1);
    proxy.shutdown();
    assert!(app.is_closed());
}
