//! What is installed along with the binary is held against the binary.

use std::path::{Path, PathBuf};

use crate::binary::run;
use crate::{Outcome, hold, text};

#[tokio::test]
async fn the_configs_that_come_along_are_right() -> Outcome {
    let folder = tempfile::tempdir().map_err(text)?;
    let config = packaged("mainstay.toml");
    let checked = run(&["check", &config.display().to_string()], folder.path()).await?;
    hold(checked.status.success(), format!("{checked:?}"))?;

    let yaml = std::fs::read_to_string(packaged("kubernetes-sidecar.yaml")).map_err(text)?;
    let (_, from) = yaml.split_once("  mainstay.toml: |\n").ok_or("no config")?;
    let (config, _) = from.split_once("---\n").ok_or("no end of the config")?;
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret").map_err(text)?;
    let config = config.replace("/etc/mainstay-token/token", &token.display().to_string());
    let config: String = config.lines().map(|line| format!("{}\n", line.trim_start())).collect();
    let file = folder.path().join("sidecar.toml");
    std::fs::write(&file, config).map_err(text)?;
    let checked = run(&["check", &file.display().to_string()], folder.path()).await?;
    hold(checked.status.success(), format!("{checked:?}"))
}

#[tokio::test]
async fn shells_and_man_know_each_command() -> Outcome {
    let folder = tempfile::tempdir().map_err(text)?;
    let help = words(&["--help"], folder.path()).await?;
    let commands: Vec<&str> = help
        .lines()
        .skip_while(|line| !line.starts_with("Commands:"))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help")
        .collect();
    hold(commands.contains(&"run") && commands.len() > 10, format!("{commands:?}"))?;
    for shell in ["bash", "zsh", "fish"] {
        let script = words(&["completions", shell], folder.path()).await?;
        for command in &commands {
            hold(script.contains(command), format!("{shell} doesn't know {command}"))?;
        }
    }
    words(&["man", "--dir", "man"], folder.path()).await?;
    for command in &commands {
        let page = folder.path().join(format!("man/mainstay-{command}.1"));
        hold(page.is_file(), format!("{command} has no page"))?;
    }
    let page = words(&["man"], folder.path()).await?;
    hold(page.contains(".TH mainstay 1"), page)
}

/// The unit's commands are ones that there are.
#[tokio::test]
async fn the_unit_starts_what_there_is() -> Outcome {
    let unit = std::fs::read_to_string(packaged("mainstay.service")).map_err(text)?;
    let started: Vec<&str> = unit
        .lines()
        .filter_map(|line| line.split_once("=/usr/bin/mainstay ").map(|(_, words)| words))
        .collect();
    let wanted = [
        "check /etc/mainstay/mainstay.toml",
        "run --config /etc/mainstay/mainstay.toml",
        "check /etc/mainstay/mainstay.toml",
    ];
    hold(started == wanted, format!("{started:?}"))?;
    let folder = tempfile::tempdir().map_err(text)?;
    let config = packaged("mainstay.toml").display().to_string();
    // Both as written there, but for the place: the second up to an address that may be taken.
    words(&["check", &config], folder.path()).await?;
    let help = words(&["run", "--help"], folder.path()).await?;
    hold(help.contains("--config <FILE>"), help)
}

async fn words(words: &[&str], folder: &Path) -> Result<String, String> {
    let ended = run(words, folder).await?;
    hold(ended.status.success(), format!("{ended:?}"))?;
    String::from_utf8(ended.stdout).map_err(text)
}

fn packaged(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}
