//! Calls that leave at any poll, seen from the library: what they had taken is free afterwards.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{Mainstay, UpstreamBuilder};
use crate::Clock;

/// A server that reads everything, and answers after so long, if at all.
async fn server(answers_after: Option<Duration>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut bytes = [0; 1024];
                while matches!(stream.read(&mut bytes).await, Ok(1..)) {
                    let Some(after) = answers_after else { continue };
                    tokio::time::sleep(after).await;
                    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    url
}

/// Polls a call, with its body, so often, each time when it is woken, and leaves; or runs it to its end, and says so.
async fn leaves_after(client: &Mainstay, url: &str, polls: usize) -> bool {
    let mut call = pin!(async { client.get(url).send().await.unwrap().text().await.unwrap() });
    let mut polled = 0;
    poll_fn(|cx| {
        if polled == polls {
            return Poll::Ready(false);
        }
        polled += 1;
        call.as_mut().poll(cx).map(|text| text == "ok")
    })
    .await
}

#[tokio::test]
async fn a_call_that_leaves_at_any_poll_gives_back_its_permit_and_its_share_of_the_budget() {
    let (dead, slow) = (server(None).await, server(Some(Duration::from_millis(2))).await);
    let api = UpstreamBuilder::new("api")
        .endpoint_in_tier(&dead, 0)
        .endpoint_in_tier(&slow, 1)
        .hedge_after(Duration::from_millis(1))
        .set("health", false)
        .set("budget.initial", 500)
        .set("budget.cost", 1)
        .set("budget.floor", 1000);
    let client = Mainstay::builder().upstream(api).build().unwrap();
    let upstream = client.upstream("api").unwrap();
    let engine = std::sync::Arc::clone(upstream.station.service.upstream());
    let before = engine.budget().level(Clock::now());
    let mut ended = 0;
    for polls in 0..40 {
        ended += usize::from(leaves_after(&client, &dead, polls).await);
        let load = engine.load(Clock::now());
        assert_eq!((load.in_flight, load.waiting), (0, 0), "after {polls} polls");
        assert_eq!(upstream.in_flight(), 0, "after {polls} polls");
    }
    assert!(ended > 0, "the longest ones got their answers");
    // What was charged is what was sent: one for each hedge, and no reservation is left open.
    let after = engine.budget().level(Clock::now());
    let hedges = client.counts().upstreams[0].endpoints[1].hedges;
    let charged = u64::from(before.tokens.saturating_sub(after.tokens));
    assert!(charged <= hedges, "{charged} tokens for {hedges} hedges");
    assert_eq!(u64::from(after.extra), hedges);
}
