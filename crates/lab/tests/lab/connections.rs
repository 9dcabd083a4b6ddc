//! Faults that meet a connection: refused, closed while idle, closed as it is used again.

use std::io::ErrorKind;
use std::time::Duration;

use mainstay_lab::{Fault, Lab, Rule, ServerSpec, Spec, StartError};
use tokio::net::TcpStream;

use crate::raw::{End, Raw, lab, request, within};

fn rule(text: &str) -> Rule {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_refusing_server_is_gone_and_comes_back_at_its_port() {
    let (lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/").await;
    raw.answer().await;
    for _ in 0..5 {
        let mut before = Raw::to(addr).await;
        lab.set("a", Fault::Refuse).await.unwrap();
        assert_eq!(before.rest().await, (vec![], End::Reset));
        for _ in 0..3 {
            let error = TcpStream::connect(addr).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        assert!(!lab.server("a").unwrap().is_listening());
        lab.set("a", Fault::Healthy).await.unwrap();
        let mut after = Raw::to(addr).await;
        after.ask("GET", "/").await;
        after.answer().await;
    }
    assert_eq!(raw.rest().await, (vec![], End::Reset));
}

#[tokio::test]
async fn an_outage_is_of_all_servers() {
    let lab = Lab::start(Spec::of(["a", "b"])).await.unwrap();
    lab.set_all(rule("outage")).await;
    for server in lab.servers() {
        assert_eq!(
            TcpStream::connect(server.addr()).await.unwrap_err().kind(),
            ErrorKind::ConnectionRefused
        );
    }
    lab.set("b", Fault::Healthy).await.unwrap();
    assert!(TcpStream::connect(lab.servers()[1].addr()).await.is_ok());
    assert!(TcpStream::connect(lab.servers()[0].addr()).await.is_err());
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_good_order() {
    let (lab, addr) = lab("close-idle after=20").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/").await;
    raw.answer().await;
    assert_eq!(raw.rest().await, (vec![], End::Fin));
    assert_eq!(lab.oracle().totals("a").answered_whole, 1);
}

#[tokio::test]
async fn a_connection_idle_already_follows_a_new_rule() {
    let (lab, addr) = lab("healthy").await;
    let mut raw = Raw::to(addr).await;
    raw.ask("GET", "/").await;
    raw.answer().await;
    assert!(raw.is_silent().await);
    lab.set("a", rule("close-idle after=1")).await.unwrap();
    assert_eq!(raw.rest().await, (vec![], End::Fin));
}

#[tokio::test]
async fn a_connection_used_again_is_closed_under_the_request() {
    for (with, end) in [("fin", End::Fin), ("rst", End::Reset)] {
        let (lab, addr) = lab(&format!("close-on-reuse with={with}")).await;
        let mut raw = Raw::to(addr).await;
        raw.send(request("POST", "/", "first", "hello")).await;
        raw.answer().await;
        assert!(raw.is_silent().await, "{with}: it closes only when it is used");
        raw.send(request("POST", "/", "second", "hello")).await;
        assert_eq!(raw.rest().await, (vec![], end), "{with}");
        assert_eq!(lab.oracle().executions("first"), 1, "{with}");
        assert_eq!(lab.oracle().executions("second"), 0, "{with}");
        assert_eq!(lab.oracle().totals("a").received, 1, "{with}");
    }
}

#[tokio::test]
async fn a_flapping_server_goes_and_comes() {
    let (lab, addr) = lab("flap up=30 down=30 refuse").await;
    for should_be_up in [false, true, false, true] {
        within(async {
            while TcpStream::connect(addr).await.is_ok() != should_be_up {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
    }
    drop(lab);
}

#[tokio::test]
async fn a_flap_may_be_of_any_fault() {
    let (_lab, addr) = lab("flap up=20 down=20 status code=502").await;
    let mut raw = Raw::to(addr).await;
    let mut seen = Vec::new();
    within(async {
        while seen.len() < 4 {
            raw.ask("GET", "/").await;
            let is_bad = raw.answer().await.0.contains(" 502 ");
            if seen.last() != Some(&is_bad) {
                seen.push(is_bad);
            }
        }
    })
    .await;
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]));
}

#[tokio::test]
async fn a_timeline_is_followed() {
    let mut spec = Spec::of(["a", "b"]);
    spec.timeline = "0s a status code=502\n2ms outage\n4ms b reset-before".parse().unwrap();
    let lab = Lab::start(spec).await.unwrap();
    let start = tokio::time::Instant::now();
    within(tokio::spawn(lab.run_timeline())).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(4));
    let [a, b] = lab.servers() else { panic!("two servers") };
    assert_eq!((a.rule(), b.rule()), (rule("refuse"), rule("reset-before")));
    assert_eq!(
        TcpStream::connect(a.addr()).await.unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    let mut raw = Raw::to(b.addr()).await;
    raw.ask("GET", "/").await;
    assert_eq!(raw.rest().await, (vec![], End::Reset));
}

#[tokio::test]
async fn nothing_is_left_after_a_shutdown_or_a_drop() {
    for is_dropped in [false, true] {
        let (lab, addr) = lab("hang").await;
        let mut raw = Raw::to(addr).await;
        raw.ask("GET", "/").await;
        within(lab.oracle().wait_until(|books| books.servers["a"].received == 1)).await;
        if is_dropped {
            drop(lab);
            raw.rest().await;
        } else {
            within(lab.shutdown()).await;
            assert_eq!(raw.rest().await.1, End::Reset);
        }
        within(async {
            while TcpStream::connect(addr).await.is_ok() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_lab_that_cannot_start_says_why() {
    let error = Lab::start(Spec::of(["a", "a", "no spaces"])).await.unwrap_err();
    let StartError::Invalid(invalid) = error else { panic!("{error}") };
    assert_eq!(invalid.problems().len(), 2, "{invalid}");
    assert!(matches!(Lab::start(Spec::default()).await, Err(StartError::Invalid(_))));

    let lab = Lab::start(Spec::of(["a"])).await.unwrap();
    let port = lab.server("a").unwrap().addr().port();
    let mut spec = Spec::of([]);
    spec.servers.push(ServerSpec { port, ..ServerSpec::named("b") });
    let error = Lab::start(spec).await.unwrap_err();
    assert!(matches!(&error, StartError::Bind { server, .. } if server == "b"), "{error}");

    assert!(lab.set("nobody", Fault::Healthy).await.unwrap_err().to_string().contains("only a"));
}
