//! `mainstay simulate`: what it says, what it writes, and its exit codes.

use std::path::Path;

use crate::binary::run;
use crate::{Outcome, hold, text};

/// Runs it in a folder and expects an exit code, and each of these in what it says.
async fn check(words: &[&str], folder: &Path, code: i32, says: &[&str]) -> Result<String, String> {
    let words = [&["simulate"][..], words].concat();
    let ended = run(&words, folder).await?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&ended.stdout),
        String::from_utf8_lossy(&ended.stderr)
    );
    hold(ended.status.code() == Some(code), format!("{words:?}: {:?}\n{said}", ended.status))?;
    let missing: Vec<_> = says.iter().filter(|words| !said.contains(**words)).collect();
    hold(missing.is_empty(), format!("{words:?} doesn't say {missing:?}, but:\n{said}"))?;
    Ok(String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[tokio::test]
async fn a_ready_world_is_told_in_a_table_and_again_in_the_same_bytes() -> Outcome {
    let folder = tempfile::tempdir().map_err(text)?;
    check(&["--list"], folder.path(), 0, &["gray-failure", "retry-storm", "cold-cache"]).await?;
    let words = ["--world", "gray-failure", "--json", "a.json", "--html", "a.html"];
    let says = ["success", "attempts per call", "metastable", "written to a.json"];
    let first = check(&words, folder.path(), 0, &says).await?;
    let read = |name: &str| std::fs::read(folder.path().join(name)).map_err(text);
    let (json, html) = (read("a.json")?, read("a.html")?);
    let again = check(&words, folder.path(), 0, &[]).await?;
    hold(first == again, "the table differs")?;
    hold(read("a.json")? == json && read("a.html")? == html, "the files differ")?;
    let other = check(&[&words[..], &["--seed", "2"]].concat(), folder.path(), 0, &[]).await?;
    hold(first != other, "another seed gives the same table")
}

#[tokio::test]
async fn an_assertion_guards_a_change_of_a_config() -> Outcome {
    let folder = tempfile::tempdir().map_err(text)?;
    let config = "[upstream.x]\nendpoints = [\"https://x.example\"]\nretry.max_attempts = 1\n";
    std::fs::write(folder.path().join("mine.toml"), config).map_err(text)?;
    let words = ["--world", "gray-failure", "--assert", "success>=99.95"];
    check(&words, folder.path(), 0, &["holds  success>=99.95"]).await?;
    let mine = [&words[..], &["--config", "mine.toml"]].concat();
    check(&mine, folder.path(), 1, &["FAILS  success>=99.95", "mine"]).await?;
    // What is compared with is only looked at.
    let compared = [&words[..], &["--compare", "mine.toml"]].concat();
    check(&compared, folder.path(), 0, &["defaults", "mine"]).await?;
    Ok(())
}

#[tokio::test]
async fn tuning_prints_what_nothing_beats_with_the_lines_to_paste() -> Outcome {
    let folder = tempfile::tempdir().map_err(text)?;
    let world = "[world]\nname = \"short\"\nduration = \"20s\"\n[load]\narrivals = \"poisson\"\nrate = 20\n[[endpoint]]\nname = \"a\"\n[[endpoint]]\nname = \"b\"\n[[fault]]\nat = \"2s\"\nendpoint = \"a\"\nwhat = \"hang ratio=0.3\"\n";
    std::fs::write(folder.path().join("short.toml"), world).map_err(text)?;
    let says =
        ["135 settings", "1. success", "attempt_timeout = \"", "budget.ceiling = ", "As it is now"];
    let first = check(&["short.toml", "--tune"], folder.path(), 0, &says).await?;
    hold(first == check(&["short.toml", "--tune"], folder.path(), 0, &[]).await?, "it differs")
}

#[tokio::test]
async fn what_is_wrong_is_told_and_ends_with_2() -> Outcome {
    let folder = tempfile::tempdir().map_err(text)?;
    let world = "[world]\nduration = \"soon\"\n[load]\narrivals = \"poisson\"\nrate = 1\n[[endpoint]]\nname = \"a\"\n";
    std::fs::write(folder.path().join("wrong.toml"), world).map_err(text)?;
    let says = ["line 2: world.duration is `\"soon\"`", "wrong.toml"];
    check(&["wrong.toml"], folder.path(), 2, &says).await?;
    check(&["none.toml"], folder.path(), 2, &["none.toml"]).await?;
    check(&["--world", "none"], folder.path(), 2, &["no world `none`", "flapping"]).await?;
    let words = ["--world", "flapping", "--assert", "happy>3"];
    check(&words, folder.path(), 2, &["the assertion is `happy>3`", "success, p50"]).await?;
    check(&[], folder.path(), 2, &["--world"]).await?;
    Ok(())
}
