//! The views, an order, and how the terminal is left.

use serde_json::json;

use crate::Outcome;
use crate::stage::{Stage, config};
use crate::support::{Binary, text};
use crate::terminal::Terminal;

const SIZE: (u16, u16) = (110, 32);

#[tokio::test]
async fn each_view_shows_what_happens_and_an_order_is_carried_out() -> Outcome {
    let stage = Stage::set().await?;
    let mut top = Terminal::top(&stage.admin(), SIZE)?;
    top.until("alpha").await?;
    stage.fault("alpha", "refuse").await?;
    top.until("breaker open").await?;
    top.until("connect-refused").await?;

    top.keys("2")?;
    top.until("Calls in which something broke").await?;
    top.until("alpha:connect-refused on to").await?;
    top.keys("p\r")?;
    top.until("broke: connect-refused").await?;
    top.until("decided:").await?;
    top.keys("\x1b")?;
    top.until("Paused:").await?;

    top.keys("3")?;
    top.until("The last hour").await?;
    top.until("alpha breaker opened").await?;
    top.keys("4")?;
    top.until("Consecutive breaks of one cause").await?;
    top.until("api/alpha").await?;
    top.keys("\r")?;
    top.until("What was seen first").await?;
    top.keys("5")?;
    top.until("There is no outbox").await?;
    top.keys("6")?;
    top.until("Below are those to the upstreams").await?;
    top.until("http/1.1").await?;

    // The endpoint's page, by the filter.
    top.keys("1/beta\rj\r")?;
    top.until("none: its breaker and checks decide").await?;
    top.until(" ago").await?;
    top.until("attempts").await?;
    top.keys("\x1b")?;
    top.until("Attempts").await?;
    top.keys("ad")?;
    top.until("drain api/beta?").await?;
    top.keys("n")?;
    top.until_gone("drain api/beta?").await?;
    top.keys("ad")?;
    top.until("drain api/beta?").await?;
    top.keys("y")?;
    top.until("ordered: drain").await?;
    top.until("drained").await?;
    let status = stage.proxy.admin("/status").await?;
    let endpoints = status["upstreams"][0]["endpoints"].as_array().ok_or("no endpoints")?;
    let beta = endpoints.iter().find(|one| one["name"] == "beta").ok_or("no beta")?;
    if beta["ordered"] != json!("drain") {
        return Err(format!("its order is {}", beta["ordered"]));
    }

    top.keys("?")?;
    top.until("down, up").await?;
    top.keys("\x1b")?;
    top.resize((50, 12))?;
    top.until_gone("1 Now  2 Feed").await?;
    top.until("beta").await?;
    top.keys("q")?;
    let ended = top.ended().await?;
    if !ended.success() {
        return Err(format!("it ends with {ended}"));
    }
    top.is_clean().await
}

#[tokio::test]
async fn no_key_waits_though_the_size_changes_as_it_is_pressed() -> Outcome {
    let stage = Stage::set().await?;
    let top = Terminal::top(&stage.admin(), SIZE)?;
    top.until("alpha").await?;
    for round in 0..40 {
        top.keys("?")?;
        top.until("down, up").await?;
        top.keys("\x1b")?;
        top.resize((SIZE.0 + round % 2, SIZE.1))?;
        top.until_gone("down, up").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_person_decides_on_stored_writes() -> Outcome {
    let folder = tempfile::tempdir().map_err(text)?;
    let stage = Stage::storing(folder.path()).await?;
    // It is carried out, and nobody can know: it stops its lane. Another is turned away.
    stage.fault("alpha", "reset-after-execute").await?;
    stage.write("customer-7").await?;
    stage.write("customer-7").await?;
    let top = Terminal::top(&stage.admin(), SIZE)?;
    top.until("alpha").await?;
    top.keys("5")?;
    top.until("Lanes that are held").await?;
    top.until("1 behind").await?;
    top.until("Stopped: a person decides").await?;
    top.until("maybe-done").await?;
    stage.fault("alpha", "status code=400").await?;
    top.keys("jas")?;
    top.until("release lane api/customer-7: settle what holds it?").await?;
    top.keys("y")?;
    // What was behind goes on, and is turned away.
    top.until("Dead: given up").await?;
    top.until_gone("Lanes that are held").await?;
    stage.fault("alpha", "healthy").await?;
    top.keys("gj\r")?;
    top.until("dead: ").await?;
    top.until("1 call made for it").await?;
    top.keys("ar")?;
    top.until("It is sent again").await?;
    top.keys("y")?;
    top.until("delivered").await?;
    top.keys("\x1b")?;
    top.until("No stored write waits, is stopped or dead.").await
}

#[tokio::test]
async fn a_proxy_that_is_gone_is_told_and_found_again() -> Outcome {
    let stage = Stage::set().await?;
    let proxy = Binary::run(&config(&stage.lab)).await?;
    let admin = proxy.admin;
    let top = Terminal::top(&admin.to_string(), SIZE)?;
    top.until("alpha").await?;
    proxy.kill().await?;
    top.until("disconnected since").await?;
    top.until("what is shown is the last that was told").await?;
    top.until("alpha").await?;
    let _again = Binary::run_at(&config(&stage.lab), admin).await?;
    top.until_gone("disconnected since").await?;
    top.until("alpha").await
}

#[tokio::test]
async fn whatever_ends_it_the_terminal_is_as_it_was() -> Outcome {
    let stage = Stage::set().await?;
    // A signal's number is told as shells do.
    for (signal, code) in [("TERM", 143), ("INT", 130), ("HUP", 129)] {
        let mut top = Terminal::top(&stage.admin(), SIZE)?;
        top.until("alpha").await?;
        top.signal(signal)?;
        let ended = top.ended().await?;
        if ended.code() != Some(code) {
            return Err(format!("after {signal} it ends with {ended}"));
        }
        top.is_clean().await.map_err(|why| format!("after {signal}: {why}"))?;
    }
    let mut top = Terminal::top(&stage.admin(), SIZE)?;
    top.until("alpha").await?;
    top.keys("\x03")?;
    if !top.ended().await?.success() {
        return Err("after ctrl-c it fails".to_owned());
    }
    top.is_clean().await
}

#[tokio::test]
async fn it_stops_and_goes_on_as_its_shell_says() -> Outcome {
    let stage = Stage::set().await?;
    let command = format!("{} top --admin {}", env!("CARGO_BIN_EXE_mainstay"), stage.admin());
    // What a person may have set up isn't read; jobs are numbered.
    let shell = ["bash", "--norc", "--noprofile", "-i"];
    let mut shell = Terminal::run(&shell, &[("PS1", "ready> ")], SIZE)?;
    shell.until("ready> ").await?;
    shell.keys(&format!("{command}\r"))?;
    shell.until("alpha").await?;
    shell.until_gone("ready> ").await?;
    shell.keys("\x1a")?;
    shell.until("Stopped").await?;
    shell.shows_before().await?;
    shell.keys("fg\r")?;
    shell.until_gone("Stopped").await?;
    shell.until("alpha").await?;
    shell.keys("2")?;
    shell.until("Calls in which something broke").await?;
    shell.keys("q")?;
    shell.shows_before().await?;
    shell.keys("clear; stty -a | grep -o ' icanon' && exit\r")?;
    shell.until(" icanon").await?;
    shell.ended().await.map(|_| ())
}

#[tokio::test]
async fn no_color_and_letters_are_heeded() -> Outcome {
    let stage = Stage::set().await?;
    let words = [env!("CARGO_BIN_EXE_mainstay"), "top", "--admin", &stage.admin()];
    let variables = [("NO_COLOR", "1"), ("LC_ALL", "C")];
    let top = Terminal::run(&words, &variables, SIZE)?;
    top.until("+ up").await?;
    top.keys("3")?;
    top.until("The last hour").await?;
    let raw = String::from_utf8(top.raw()).map_err(|error| error.to_string())?;
    let colours =
        raw.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m')).map(|(codes, _)| codes);
    let is_colour = |code: &&str| matches!(code.parse::<u32>(), Ok(30..=38 | 40..=48 | 90..=97));
    let found: Vec<_> = colours.flat_map(|codes| codes.split(';')).filter(is_colour).collect();
    if !raw.is_ascii() || !found.is_empty() {
        return Err(format!("colours {found:?}, ASCII: {}", raw.is_ascii()));
    }
    Ok(())
}
