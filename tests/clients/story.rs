//! What breaks, and when: by what the servers have seen so far, never by the clock.

use mainstay_lab::{Fault, Snapshot};
use tokio::time::timeout;

use crate::Outcome;
use crate::stage::{PATIENCE, Stage, text};

/// One server refuses, then a second hangs as well; both come back; then the third carries requests out and resets
/// before it answers. At each moment one server is well, so no read has a reason to fail.
pub(crate) async fn tell(stage: &Stage) -> Outcome {
    match timeout(PATIENCE, acts(stage)).await {
        Ok(told) => told,
        Err(_) => {
            let (a, b) = (stage.endpoint("a").await?, stage.endpoint("b").await?);
            Err(format!(
                "the story comes to no end: {a:?}, {b:?}, {:?}",
                stage.endpoint("c").await?
            ))
        }
    }
}

async fn acts(stage: &Stage) -> Outcome {
    after_calls(stage, 100).await;
    break_one(stage, "a", Fault::Refuse).await?;
    break_one(stage, "b", Fault::Hang).await?;
    for name in ["a", "b"] {
        stage.lab.set(name, Fault::Healthy).await.map_err(text)?;
    }
    all_well(stage).await?;
    break_one(stage, "c", Fault::ResetAfterExecute).await?;
    stage.lab.set("c", Fault::Healthy).await.map_err(text)?;
    all_well(stage).await
}

/// Breaks a server and goes on until calls have met it, and then some.
async fn break_one(stage: &Stage, name: &str, fault: Fault) -> Outcome {
    let broke = |counts: &serde_json::Value| counts["broke"].as_u64().unwrap_or_default();
    let before = broke(&stage.endpoint(name).await?.1);
    stage.lab.set(name, fault).await.map_err(text)?;
    loop {
        after_calls(stage, 5).await;
        let (now, counts) = stage.endpoint(name).await?;
        if broke(&counts) > before || now["healthy"] == false {
            break;
        }
    }
    after_calls(stage, 60).await;
    Ok(())
}

/// Goes on until calls are let through to all servers again.
async fn all_well(stage: &Stage) -> Outcome {
    for name in ["a", "b", "c"] {
        loop {
            after_calls(stage, 5).await;
            let (now, _) = stage.endpoint(name).await?;
            if now["healthy"] == true && now["breaker"]["state"] == "closed" {
                break;
            }
        }
    }
    Ok(())
}

/// So many more requests at the servers: the story's clock.
async fn after_calls(stage: &Stage, more: u64) {
    let received = |books: &Snapshot| books.servers.values().map(|one| one.received).sum::<u64>();
    let oracle = stage.lab.oracle();
    let before = received(&oracle.snapshot());
    oracle.wait_until(|books| received(books) >= before + more).await;
}
