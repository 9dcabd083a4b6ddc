//! The recorder's feed as server-sent events.

use std::time::Duration;

use bytes::Bytes;
use mainstay_record::{Feed, FeedNews};
use tokio::sync::mpsc;
use tokio::time::{Instant, interval_at};

/// Pieces of the stream, until the reader leaves.
pub(super) fn stream(feed: Feed) -> mpsc::Receiver<Bytes> {
    let (pieces, reader) = mpsc::channel(AHEAD);
    tokio::spawn(write(feed, pieces));
    reader
}

async fn write(mut feed: Feed, pieces: mpsc::Sender<Bytes>) {
    // At once, so that the reader knows that it is connected.
    let mut piece = Bytes::from_static(b": mainstay\n\n");
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    let mut id: u64 = 0;
    while pieces.send(piece).await.is_ok() {
        let news = tokio::select! {
            news = feed.next() => news,
            _ = heartbeat.tick() => {
                piece = Bytes::from_static(b":\n\n");
                continue;
            }
            () = pieces.closed() => return,
        };
        let Some(news) = news else { return };
        id += 1;
        piece = event(id, &news);
    }
}

/// One event. JSON has no line breaks, so the data is one line.
fn event(id: u64, news: &FeedNews) -> Bytes {
    let (name, data) = match news {
        FeedNews::Item(item) => ("item", serde_json::to_string(&**item)),
        FeedNews::Lost(lost) => ("lost", Ok(format!("{{\"v\":1,\"lost\":{lost}}}"))),
    };
    match data {
        Ok(data) => format!("id: {id}\nevent: {name}\ndata: {data}\n\n").into(),
        Err(error) => {
            tracing::error!(%error, "an event can't be written as JSON");
            Bytes::from_static(b": an event can't be written\n\n")
        }
    }
}

/// Pieces that wait for a slow reader, before the feed drops for it.
const AHEAD: usize = 64;

/// Shorter than what proxies and browsers take for death.
const HEARTBEAT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn a_quiet_stream_beats() {
        let recorder = mainstay_record::Recorder::new();
        let mut pieces = stream(recorder.subscribe());
        assert_eq!(pieces.recv().await.as_deref(), Some(&b": mainstay\n\n"[..]));
        let before = Instant::now();
        assert_eq!(pieces.recv().await.as_deref(), Some(&b":\n\n"[..]));
        assert_eq!(before.elapsed(), HEARTBEAT);
    }

    #[test]
    fn lost_items_are_told() {
        let text = event(7, &FeedNews::Lost(3));
        assert_eq!(text, "id: 7\nevent: lost\ndata: {\"v\":1,\"lost\":3}\n\n");
    }
}
