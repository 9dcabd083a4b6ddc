//! An application that is told of its writes, by a library that it doesn't share with us, while the process is killed again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::time::sleep;

use crate::api::Api;
use crate::support::program::Program;
use crate::support::{Binary, text};
use crate::writer::Writer;
use crate::{Chance, LANES, ROUNDS, config, delivered, futures, number, totals};

#[derive(Debug, Deserialize)]
struct Has {
    wrong: Vec<String>,
    told: Vec<Message>,
}

#[derive(Debug, Deserialize)]
struct Message {
    r#type: String,
    data: Value,
}

#[tokio::test]
async fn whoever_asked_is_told_of_each_end_and_each_stop_though_the_process_is_killed()
-> Result<(), String> {
    let rounds = number("MAINSTAY_OUTBOX_ROUNDS")?.unwrap_or(ROUNDS);
    let seed = number("MAINSTAY_OUTBOX_SEED")?.unwrap_or_else(|| u64::from(std::process::id()));
    let mut chance = Chance(seed);
    let dir = tempfile::tempdir().map_err(text)?;
    let api = Api::serve(chance.next()).await.map_err(text)?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/outbox/receiver.py");
    let mut receiver = Program::python()?.start(&[script, SECRETS[0], SECRETS[1]])?;
    let port = receiver.line().await?;
    let secrets = dir.path().join("secrets");
    std::fs::write(&secrets, SECRETS.join("\n")).map_err(text)?;
    let config = format!(
        "{}
         callback = {{ upstream = \"app\", path = \"/hooks\" }}
         [upstream.app]
         endpoints = [\"http://127.0.0.1:{port}\"]
         breaker.mode = \"off\"
         [[route]]
         upstream = \"api\"",
        config(&api, dir.path()).replace(
            "[outbox]",
            &format!("[outbox]\ncallback_secrets_file = \"{}\"", secrets.display())
        )
    );
    let mut writers: Vec<Writer> =
        (0..LANES).map(|lane| Writer::new(lane, lane % 4 != 0)).collect();
    for _ in 0..rounds {
        let binary = Binary::run(&config).await?;
        let proxy = binary.proxy;
        let life = Duration::from_millis(50 + chance.next() % 400);
        let kill = async {
            sleep(life).await;
            binary.kill().await
        };
        let write = futures(writers.iter_mut().map(|writer| writer.write(proxy)));
        tokio::join!(write, kill).1?;
    }
    api.heal();
    let binary = Binary::run(&config).await?;
    delivered(&binary).await?;
    let stopped = totals(&binary).await?.get("stopped").copied().unwrap_or_default();
    let has: Has = serde_json::from_str(&receiver.end_of_input().await?).map_err(text)?;
    check(&has, &writers, stopped).map_err(|why| format!("seed {seed}, {rounds} rounds: {why}"))?;
    println!("{rounds} kills, {} told, seed {seed}", has.told.len());
    Ok(())
}

fn check(has: &Has, writers: &[Writer], stopped: u64) -> Result<(), String> {
    if let Some(why) = has.wrong.first() {
        return Err(format!(
            "{} weren't what was signed, or told two things: {why}",
            has.wrong.len()
        ));
    }
    // How often each delivery was told to have come to each end.
    let mut ends: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for message in &has.told {
        let key = message.data["key"].as_str().ok_or("a callback without a key")?;
        *ends.entry((&message.r#type, key)).or_default() += 1;
    }
    if let Some((end, count)) = ends.iter().find(|(_, count)| **count > 1) {
        return Err(format!("{end:?} was told by {count} messages"));
    }
    for writer in writers.iter().filter(|writer| writer.has_keys) {
        for what in &writer.accepted {
            let key = format!("caller-{what}");
            if !ends.contains_key(&("delivery.delivered", &*key)) {
                return Err(format!("{what} was accepted, and nobody was told that it arrived"));
            }
        }
    }
    let told = ends.keys().filter(|(kind, _)| *kind == "delivery.stopped").count() as u64;
    if told != stopped {
        return Err(format!("{stopped} are stopped, and {told} were told to be"));
    }
    Ok(())
}

/// The old one and the new one.
const SECRETS: [&str; 2] =
    ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"];
