//! Two proxies on one database, and what can happen to them while applications write and the API fails: a proxy is killed, a proxy is frozen
//! for longer than its leases last, the database crashes, all its connections are cut. The API's book is held against what the applications were told, as
//! for one proxy.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::api::Api;
use crate::postgres::Cluster;
use crate::support::{Binary, PATIENCE, get, text};
use crate::writer::{Proxies, Writer};
use crate::{Chance, LANES, check, config_with, delivered, futures, number};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_accepted_arrives_though_the_database_and_the_proxies_break() -> Result<(), String>
{
    // Each kind of break, at least once.
    let rounds = number("MAINSTAY_OUTBOX_ROUNDS")?.unwrap_or(4).max(4);
    let seed = number("MAINSTAY_OUTBOX_SEED")?.unwrap_or_else(|| u64::from(std::process::id()));
    let mut chance = Chance(seed);
    let cluster = Cluster::own("fleet");
    let api = Api::serve(chance.next()).await.map_err(text)?;
    let store = format!("postgres = \"{}\"\nlease = \"2s\"", cluster.url());
    let config = config_with(&api, &store);
    let mut fleet = vec![Binary::run(&config).await?, Binary::run(&config).await?];
    let (proxies, ends) = (Proxies::default(), AtomicBool::new(false));
    proxies.set(addresses(&fleet));
    let mut writers: Vec<Writer> =
        (0..LANES).map(|lane| Writer::new(lane, lane % 4 != 0)).collect();
    let breaking = async {
        let mut broken = Ok(());
        for round in 0..rounds {
            sleep(Duration::from_millis(200 + chance.next() % 800)).await;
            broken = one(round, &cluster, &mut fleet, &config, &proxies).await;
            if broken.is_err() {
                break;
            }
        }
        sleep(Duration::from_millis(500)).await;
        ends.store(true, SeqCst);
        broken
    };
    let writing = futures(writers.iter_mut().map(|writer| writer.write_on(&proxies, &ends)));
    let (broken, ()) = tokio::join!(breaking, writing);
    broken?;
    api.heal();
    delivered(&fleet[0]).await?;
    let told = check(&api, &writers, &fleet[0]).await;
    let told = told.map_err(|why| format!("seed {seed}, {rounds} rounds: {why}"))?;
    println!("{rounds} breaks, {told}, seed {seed}");
    Ok(())
}

fn addresses(fleet: &[Binary]) -> Vec<std::net::SocketAddr> {
    fleet.iter().map(|binary| binary.proxy).collect()
}

/// Waits until its metrics say whether the database can be asked.
async fn reachable(binary: &Binary, is: bool) -> Result<(), String> {
    let line = format!("mainstay_outbox_reachable {}", u8::from(is));
    let said = async {
        while !get(binary.admin, "/metrics").await?.lines().any(|found| found == line) {
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    timeout(PATIENCE, said).await.map_err(|_| format!("it never says {line}"))?
}

/// Something happens.
async fn one(
    round: u64,
    cluster: &Cluster,
    fleet: &mut Vec<Binary>,
    config: &str,
    proxies: &Proxies,
) -> Result<(), String> {
    match round % 4 {
        0 => {
            fleet.remove(0).kill().await?;
            fleet.push(Binary::run(config).await?);
            proxies.set(addresses(fleet));
        }
        1 => {
            tokio::task::block_in_place(|| cluster.crash());
            reachable(&fleet[0], false).await?;
            tokio::task::block_in_place(|| cluster.start());
            reachable(&fleet[0], true).await?;
        }
        2 => {
            fleet[0].freeze()?;
            // Others have taken over what it had, by then.
            sleep(Duration::from_millis(3500)).await;
            fleet[0].thaw()?;
        }
        _ => {
            let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'mainstay'";
            for _ in 0..5 {
                tokio::task::block_in_place(|| cluster.sql(cut));
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
    Ok(())
}
