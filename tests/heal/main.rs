//! Healing on large numbers, through the real binary and with programs that nobody here wrote: downloads by curl, wget, Python requests
//! and httpx from two servers that break every answer every 300 KB or so, one by a reset and one by a clean early end; and event streams
//! by httpx from servers that reset, end early and stall.
//!
//! None of these clients goes on by itself where an answer broke (wget would, and is told not to), so what isn't healed shows. Of each
//! download the SHA-256 is compared with the representation's; of each stream the numbers of its events.
//!
//! In the suite some tens of small downloads are made. `cargo xtask heal` makes a thousand of 1 to 50 MB, then as many again to
//! see whether memory grows, and prints the tables of `docs/heal.md`.
//!
//! [`downloads`] is the story, [`reader`] runs a client, [`figures`] judges; [`streams`] is the story of event streams.

mod downloads;
mod figures;
mod reader;
mod streams;
#[path = "../support/mod.rs"]
mod support;

use downloads::Downloads;
use streams::Streams;
use support::text;

type Outcome = Result<(), String>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn downloads_by_four_clients_are_whole_while_each_answer_breaks_every_so_many_bytes()
-> Outcome {
    let asked_for = asked_for("MAINSTAY_HEAL_DOWNLOADS")?;
    let downloads = asked_for.map_or_else(Downloads::few, Downloads::many);
    let figures = downloads.play().await?;
    if asked_for.is_some() {
        println!("{}", figures.table());
    }
    figures.wrong()
}

#[tokio::test]
async fn no_event_stream_has_a_gap_or_a_duplicate_while_servers_reset_end_early_and_stall()
-> Outcome {
    let asked_for = asked_for("MAINSTAY_HEAL_STREAMS")?;
    let figures = Streams { count: asked_for.unwrap_or(SOME_STREAMS) }.play().await?;
    if asked_for.is_some() {
        println!("{}", figures.table());
    }
    figures.wrong()
}

/// What `cargo xtask heal` asks for.
fn asked_for(name: &str) -> Result<Option<usize>, String> {
    std::env::var(name).ok().map(|number| number.parse().map_err(text)).transpose()
}

/// They wait for their events most of the time, so as many as the long run has take a few seconds.
const SOME_STREAMS: usize = 200;
