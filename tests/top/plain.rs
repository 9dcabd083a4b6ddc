//! Without a terminal: lines, blocks, JSON, and errors.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};
use tokio::time::timeout;

use crate::Outcome;
use crate::stage::{Stage, config};
use crate::support::{Binary, PATIENCE, text};
use crate::terminal::Terminal;

fn top(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mainstay"));
    command.arg("top").args(words).env("LC_ALL", "C.UTF-8").kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end: exit code, output, errors.
async fn run(words: &[&str]) -> Result<(Option<i32>, String, String), String> {
    let output = timeout(PATIENCE, top(words).output()).await.map_err(text)?.map_err(text)?;
    let (out, error) = (String::from_utf8(output.stdout), String::from_utf8(output.stderr));
    Ok((output.status.code(), out.map_err(text)?, error.map_err(text)?))
}

/// Reads lines until each of these words was in one, in whatever order, and gives what was read.
async fn until(
    lines: &mut Lines<BufReader<ChildStdout>>,
    words: &[&str],
) -> Result<Vec<String>, String> {
    let mut read: Vec<String> = Vec::new();
    let reading = async {
        let is_told = |read: &[String], words: &str| read.iter().any(|line| line.contains(words));
        while !words.iter().all(|words| is_told(&read, words)) {
            let line = lines.next_line().await.map_err(text)?;
            read.push(line.ok_or("it ended")?);
        }
        Ok::<(), String>(())
    };
    let done = timeout(PATIENCE, reading).await.map_err(|_| "it doesn't come".to_owned());
    done.and_then(|done| done).map_err(|why| format!("{words:?}: {why}:\n{}", read.join("\n")))?;
    Ok(read)
}

#[tokio::test]
async fn through_a_pipe_it_prints_a_line_for_each_thing_that_happens() -> Outcome {
    let stage = Stage::set().await?;
    let mut program = top(&["--admin", &stage.admin()]).spawn().map_err(text)?;
    let out = program.stdout.take().ok_or("no output")?;
    let mut lines = BufReader::new(out).lines();
    let mut told = until(&mut lines, &["api up"]).await?;
    stage.fault("alpha", "refuse").await?;
    let wanted = [
        "api/alpha breaker opened",
        "incident began: api/alpha connect-refused",
        "not up: alpha (breaker open",
    ];
    told.extend(until(&mut lines, &wanted).await?);
    for line in told {
        let time = line.split(' ').next().unwrap_or_default();
        if time.len() != 8 || line.contains('\x1b') {
            return Err(format!("{line:?} has no time, or more than text"));
        }
    }
    // Whoever has read enough ends it: with no reader there is nothing to say, and no error.
    drop(lines);
    let ended = timeout(PATIENCE, program.wait()).await.map_err(|_| "it goes on for nobody")?;
    if ended.map_err(text)?.success() { Ok(()) } else { Err("it fails without a reader".into()) }
}

#[tokio::test]
async fn once_it_says_how_things_are_and_ends() -> Outcome {
    let stage = Stage::set().await?;
    let (code, out, error) = run(&["--once", "--admin", &stage.admin()]).await?;
    if code != Some(0)
        || !out.contains("api  ● up")
        || !out.contains("beta")
        || out.contains('\x1b')
    {
        return Err(format!("{code:?}\n{out}{error}"));
    }
    let (code, out, error) = run(&["--once", "--json", "--admin", &stage.admin()]).await?;
    let document: Value =
        serde_json::from_str(&out).map_err(|why| format!("{why}: {out}{error}"))?;
    let name = &document["state"]["upstreams"][0]["name"];
    let incidents = document["incidents"].is_array();
    if code == Some(0) && name == "api" && incidents { Ok(()) } else { Err(out) }
}

#[tokio::test]
async fn json_is_an_object_a_line() -> Outcome {
    let stage = Stage::set().await?;
    let mut program = top(&["--json", "--admin", &stage.admin()]).spawn().map_err(text)?;
    let out = program.stdout.take().ok_or("no output")?;
    let mut lines = BufReader::new(out).lines();
    for wanted in ["hello", "state", "changes", "incidents"] {
        let line = lines.next_line().await.map_err(text)?.ok_or("it ended")?;
        let object: Value = serde_json::from_str(&line).map_err(text)?;
        if object["event"] != wanted || !object["data"].is_object() {
            return Err(format!("{wanted} isn't {line}"));
        }
    }
    program.kill().await.map_err(text)
}

#[tokio::test]
async fn a_terminal_that_knows_no_codes_gets_lines() -> Outcome {
    let stage = Stage::set().await?;
    let words = [env!("CARGO_BIN_EXE_mainstay"), "top", "--admin", &stage.admin()];
    let top = Terminal::run(&words, &[("TERM", "dumb")], (200, 20))?;
    top.until("api up").await?;
    if top.raw().contains(&0x1b) { Err("it got codes".to_owned()) } else { Ok(()) }
}

#[tokio::test]
async fn whom_it_cant_ask_it_names_and_a_token_is_found_in_three_places() -> Outcome {
    let (code, _, error) = run(&["--admin", "127.0.0.1:1"]).await?;
    if code != Some(1) || !error.contains("the admin address 127.0.0.1:1 can't be asked") {
        return Err(format!("{code:?} {error}"));
    }
    let stage = Stage::set().await?;
    let guarded = Binary::run_guarded(&config(&stage.lab), "secret").await?;
    let admin = guarded.admin.to_string();
    let (code, _, error) = run(&["--once", "--admin", &admin]).await?;
    if code != Some(2) || !error.contains("wants a token") {
        return Err(format!("{code:?} {error}"));
    }
    let file = tempfile::NamedTempFile::new().map_err(text)?;
    std::fs::write(file.path(), "secret\n").map_err(text)?;
    let file = file.path().display().to_string();
    let url = format!("http://{admin}/#token=secret");
    for words in [
        &["--once", "--admin", &admin, "--token-file", &file][..],
        &["--once", "--admin", &admin, "--token", "secret"],
        &["--once", "--admin", &url],
    ] {
        let (code, out, error) = run(words).await?;
        if code != Some(0) || !out.contains("alpha") {
            return Err(format!("{words:?}: {code:?} {out}{error}"));
        }
    }
    let mut command = top(&["--once", "--admin", &admin, "--token-env", "MAINSTAY_TEST_TOKEN"]);
    let output = command.env("MAINSTAY_TEST_TOKEN", "secret").output().await.map_err(text)?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}
