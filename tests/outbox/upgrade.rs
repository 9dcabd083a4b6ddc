//! One process takes over from another while applications write: the file goes from hand to hand, and nothing is lost, doubled or out of order.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use tokio::time::sleep;

use crate::api::Api;
use crate::support::{Binary, PATIENCE, text};
use crate::writer::{Proxies, Writer};
use crate::{LANES, check, config, delivered, futures};

#[tokio::test]
async fn upgrades_lose_no_write_and_carry_none_out_twice() -> Result<(), String> {
    let dir = tempfile::tempdir().map_err(text)?;
    let api = Api::serve(7).await.map_err(text)?;
    let mut binary = Binary::run(&config(&api, dir.path())).await?;
    let mut writers: Vec<Writer> =
        (0..LANES).map(|lane| Writer::new(lane, lane % 4 != 0)).collect();
    let proxies = Proxies::default();
    proxies.set(vec![binary.proxy]);
    let ends = AtomicBool::new(false);
    let upgrades = async {
        let mut serving = binary.serving.id()?;
        for _ in 0..UPGRADES {
            sleep(BETWEEN).await;
            binary.serving.signal("USR2")?;
            serving = binary.serving.succeeded(serving, PATIENCE).await?;
        }
        sleep(BETWEEN).await;
        ends.store(true, SeqCst);
        Ok::<(), String>(())
    };
    let write = futures(writers.iter_mut().map(|writer| writer.write_on(&proxies, &ends)));
    let ((), upgraded) = tokio::join!(write, upgrades);
    upgraded?;
    api.heal();
    // Only the last one delivers, once those before it have let go.
    delivered(&binary).await?;
    let told = check(&api, &writers, &binary).await?;
    println!("{UPGRADES} upgrades, {told}");
    binary.ended().await
}

const UPGRADES: usize = 5;

/// Long enough that writes wait, and are on their way, when the next one takes over.
const BETWEEN: Duration = Duration::from_millis(300);
