//! Connections that are kept ready ahead of demand.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod peer;

use std::sync::Arc;

use mainstay::Service;
use mainstay_config::settings::Settings;
use mainstay_record::Recorder;
use peer::{Peer, exchange, get, until_counts};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn service(peer: &Peer, pool: &str) -> Arc<Service> {
    let text = format!(
        "[upstream.api]\nendpoints = [\"http://{}\"]\nhealth = false\n[upstream.api.pool]\n{pool}",
        peer.address
    );
    let settings: Settings = mainstay_config::parse(&text, "test").unwrap().settings;
    Service::new(&settings.upstreams[0], &Recorder::new(), None).unwrap()
}

#[tokio::test]
async fn spares_are_there_before_the_first_request_and_replaced_when_one_is_taken() {
    let peer = Peer::listen().await;
    let service = service(&peer, "spares = 2");
    let watching = tokio::spawn(Arc::clone(&service).watch());
    let target = service.targets().next().unwrap();
    let (mut first, mut second) = (peer.accept().await, peer.accept().await);
    until_counts(target, |counts| counts.idle == 2).await;
    let answered = async {
        tokio::select! {
            _ = first.head() => first.say(OK).await,
            _ = second.head() => second.say(OK).await,
        }
    };
    // One is in use while the third is opened in its place.
    let (answer, (), _third) = tokio::join!(exchange(target, get()), answered, peer.accept());
    assert_eq!(answer.unwrap().body, "ok");
    until_counts(target, |counts| counts.idle == 3 && counts.reused == 1).await;
    assert_eq!(target.counts().opened, 3);
    watching.abort();
}

#[tokio::test]
async fn spares_stay_within_the_limit_of_connections() {
    let peer = Peer::listen().await;
    let service = service(&peer, "spares = 5\nmax_connections = 3");
    let watching = tokio::spawn(Arc::clone(&service).watch());
    let target = service.targets().next().unwrap();
    let _ends = (peer.accept().await, peer.accept().await, peer.accept().await);
    until_counts(target, |counts| counts.idle == 3).await;
    assert_eq!(target.counts().opened, 3);
    watching.abort();
}
