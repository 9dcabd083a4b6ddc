//! Downloads by four clients at once, from two servers that break each answer every so many bytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use mainstay_lab::{Lab, Rule, Spec, seeded_byte};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::figures::{Figures, Read};
use crate::reader::{Client, hex};
use crate::support::{Binary, text};

/// How many, and how large.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Downloads {
    count: usize,
    largest_bytes: u64,
    /// How many different ones there are, at least two.
    representations: u64,
    /// How often they are made: memory is compared between rounds.
    rounds: usize,
}

/// What the clients meet.
struct Stage {
    lab: Lab,
    binary: Binary,
    representations: Vec<Representation>,
}

/// What is downloaded.
#[derive(Debug)]
struct Representation {
    path: String,
    bytes: u64,
    sha256: String,
}

impl Downloads {
    /// So many that the suite can wait for them.
    pub(crate) fn few() -> Self {
        Self { count: 48, largest_bytes: 3_000_000, representations: 8, rounds: 1 }
    }

    /// The run whose figures are told.
    pub(crate) fn many(count: usize) -> Self {
        Self { count, largest_bytes: 50_000_000, representations: 50, rounds: 2 }
    }

    pub(crate) async fn play(self) -> Result<Figures, String> {
        let stage = Arc::new(self.stage().await?);
        let mut figures = Figures::new(stage.binary.memory_kib()?);
        let begun = Instant::now();
        for _ in 0..self.rounds {
            self.round(&stage, &mut figures).await?;
        }
        figures.seconds = begun.elapsed().as_secs_f64();
        for server in stage.lab.servers() {
            let totals = stage.lab.oracle().totals(server.name());
            figures.attempts += totals.received;
            figures.sent_bytes += totals.body_bytes;
        }
        let status = stage.binary.admin("/status").await?;
        let healed = &status["counts"]["calls"]["healed"];
        figures.healed = healed.as_u64().ok_or("/status has no count of healed calls")?;
        Ok(figures)
    }

    async fn stage(self) -> Result<Stage, String> {
        let lab = Lab::start(Spec::of(["a", "b"])).await.map_err(text)?;
        for (name, rule) in [("a", "reset-in-body every=300KB"), ("b", "truncate every=300KB")] {
            let rule: Rule = rule.parse().map_err(text)?;
            lab.set(name, rule).await.map_err(text)?;
        }
        let urls = lab.servers().iter().map(|server| format!("{:?}", server.url()));
        let urls = urls.collect::<Vec<_>>().join(", ");
        let binary = Binary::run(&format!("[upstream.files]\nendpoints = [{urls}]\n")).await?;
        let hashing = tokio::task::spawn_blocking(move || {
            (0..self.representations).map(|which| self.representation(which)).collect()
        });
        Ok(Stage { lab, binary, representations: hashing.await.map_err(text)? })
    }

    /// One of them: from 1 MB to the largest in even steps, less some odd bytes.
    fn representation(self, which: u64) -> Representation {
        let step = (self.largest_bytes - SMALLEST_BYTES) / (self.representations - 1);
        let (bytes, seed) = (SMALLEST_BYTES + which * step - which, which + 1);
        let content: Vec<u8> = (0..bytes).map(|at| seeded_byte(seed, at)).collect();
        let sha256 = hex(digest(&SHA256, &content).as_ref());
        Representation { path: format!("/bytes/{bytes}?seed={seed}"), bytes, sha256 }
    }

    /// All of them once, by all clients at a time.
    async fn round(self, stage: &Arc<Stage>, figures: &mut Figures) -> Result<(), String> {
        let (sender, mut reads) = mpsc::channel(AT_ONCE);
        let turns: [Arc<AtomicUsize>; Client::ALL.len()] = Default::default();
        for slot in 0..AT_ONCE {
            let which = slot % turns.len();
            let (stage, turn, sender) =
                (Arc::clone(stage), Arc::clone(&turns[which]), sender.clone());
            tokio::spawn(async move {
                let ended = self.slot(which, &stage, &turn, &sender).await;
                if let Err(why) = ended {
                    // Nobody hears it only if the test has failed already.
                    let _ = sender.send(Err(why)).await;
                }
            });
        }
        drop(sender);
        let mut done = 0;
        while let Some(read) = reads.recv().await {
            figures.add(read?);
            done += 1;
            if done * 4 / self.count > (done - 1) * 4 / self.count {
                // A quarter, half, three quarters, and the end.
                figures.memory_kib.push(stage.binary.memory_kib()?);
            }
        }
        if done == self.count { Ok(()) } else { Err(format!("{done} of {} were made", self.count)) }
    }

    /// One client's downloads, one after the other, until all its kind's are made.
    async fn slot(
        self,
        which: usize,
        stage: &Stage,
        turns: &AtomicUsize,
        reads: &mpsc::Sender<Result<Read, String>>,
    ) -> Result<(), String> {
        let (client, kinds) = (Client::ALL[which], Client::ALL.len());
        let mut reader = client.start()?;
        loop {
            let number = turns.fetch_add(1, Ordering::Relaxed) * kinds + which;
            if number >= self.count {
                return Ok(());
            }
            // Each client begins elsewhere, so that large and small ones are always under way together.
            let place = (number / kinds + which * stage.representations.len() / kinds)
                % stage.representations.len();
            let wanted = &stage.representations[place];
            let url = format!("http://{}{}", stage.binary.proxy, wanted.path);
            let got = reader.read(&url).await.map_err(|why| format!("{}: {why}", client.name()))?;
            let is_right = got.sha256 == wanted.sha256;
            let read = Read { client, bytes: wanted.bytes, is_right, error: got.error };
            if reads.send(Ok(read)).await.is_err() {
                return Ok(());
            }
        }
    }
}

/// Downloads that are under way at any time: six of each client.
const AT_ONCE: usize = 24;

/// Three breaks on average.
const SMALLEST_BYTES: u64 = 1_000_000;
