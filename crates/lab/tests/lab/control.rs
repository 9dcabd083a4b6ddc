//! The control address, and a lab from a file.

use std::net::SocketAddr;

use mainstay_lab::{Lab, ServeError, Spec, serve_file};

use crate::raw::{End, Raw, request, within};

async fn lab() -> (Lab, SocketAddr) {
    let lab = Lab::start(Spec { control: Some(0), ..Spec::of(["a", "b"]) }).await.unwrap();
    let addr = lab.control_addr().unwrap();
    (lab, addr)
}

async fn call(
    addr: SocketAddr,
    method: &str,
    path: &str,
    body: &str,
) -> (String, serde_json::Value) {
    let mut raw = Raw::to(addr).await;
    raw.send(request(method, path, "x", body)).await;
    let (head, body) = raw.answer().await;
    assert_eq!(raw.rest().await, (vec![], End::Fin));
    let status = head.split(' ').nth(1).unwrap().to_owned();
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn a_fault_is_set_from_outside() {
    let (lab, addr) = lab().await;
    let (status, servers) = call(addr, "POST", "/servers/a/fault", "status code=502").await;
    assert_eq!(
        (status.as_str(), &servers[0]["fault"]),
        ("200", &"status code=502 executed=true".into())
    );
    assert_eq!(servers[1]["fault"], "healthy");
    let mut raw = Raw::to(lab.server("a").unwrap().addr()).await;
    raw.ask("POST", "/").await;
    assert!(raw.answer().await.0.contains(" 502 "));

    let (_, oracle) = call(addr, "GET", "/oracle", "").await;
    assert_eq!(oracle["requests"]["x"]["POST"]["executed_by"]["a"], 1);
    assert_eq!(oracle["duplicates"], serde_json::json!([]));

    let (_, servers) = call(addr, "POST", "/servers/*/fault", "refuse").await;
    assert_eq!(
        (&servers[0]["listening"], &servers[1]["listening"]),
        (&false.into(), &false.into())
    );
    let (_, servers) = call(addr, "POST", "/reset", "").await;
    assert_eq!((&servers[0]["fault"], &servers[0]["listening"]), (&"healthy".into(), &true.into()));
    assert_eq!(lab.oracle().executions("x"), 0);
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let (_lab, addr) = lab().await;
    let (status, body) = call(addr, "POST", "/servers/a/fault", "stall at=many").await;
    assert_eq!(status, "400");
    assert!(body["error"].as_str().unwrap().contains("at is `many`, allowed: a size"), "{body}");
    assert_eq!(call(addr, "POST", "/servers/z/fault", "hang").await.0, "404");
    assert_eq!(call(addr, "GET", "/nothing", "").await.0, "404");
    assert_eq!(call(addr, "GET", "/reset", "").await.0, "405");
    assert_eq!(call(addr, "POST", "/servers/a/fault", &"x".repeat(5000)).await.0, "413");
    let mut raw = Raw::to(addr).await;
    raw.send("POST /reset HTTP/1.1\r\norigin: https://example.com\r\n\r\n").await;
    assert!(raw.answer().await.0.contains(" 403 "));
}

#[tokio::test]
async fn the_list_of_faults_is_there_for_people() {
    let (_lab, addr) = lab().await;
    let (_, faults) = call(addr, "GET", "/faults", "").await;
    assert_eq!(faults.as_array().unwrap().len(), mainstay_lab::KINDS.len());
}

#[tokio::test]
async fn a_lab_runs_from_a_file() {
    let path = std::env::temp_dir().join(format!("mainstay-lab-{}.toml", std::process::id()));
    std::fs::write(&path, "timeline = \"0s a refuse\"\n[[server]]\nname = \"a\"\n").unwrap();
    let (tell, told) = tokio::sync::oneshot::channel();
    let serve = serve_file(&path, |lab| {
        let _ = tell.send((lab.servers()[0].addr(), lab.control_addr().unwrap()));
    });
    within(async {
        tokio::select! {
            end = serve => panic!("{end:?}"),
            () = async {
                let (addr, control) = told.await.unwrap();
                while tokio::net::TcpStream::connect(addr).await.is_ok() {
                    tokio::task::yield_now().await;
                }
                assert_eq!(call(control, "GET", "/servers", "").await.1[0]["fault"], "refuse");
            } => {}
        }
    })
    .await;
    std::fs::write(&path, "[[server]]\nname = 3\n").unwrap();
    let error = serve_file(&path, |_| ()).await.unwrap_err();
    assert!(
        matches!(&error, ServeError::Invalid { source, .. } if source.problems()[0].line == Some(2)),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(serve_file(&path, |_| ()).await, Err(ServeError::Read { .. })));
}
