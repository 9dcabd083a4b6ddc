//! Starts that fail: what is said, and by which exit code.

use std::path::Path;

use crate::binary::{Binary, run};
use crate::{Outcome, hold, text};

/// Runs it with these words and expects an exit code, and each of these in what it says.
async fn check(words: &[&str], code: i32, says: &[&str]) -> Outcome {
    let folder = tempfile::tempdir().map_err(text)?;
    let wrong = "listen = \"8080\"\n[upstream.a]\nendpoint = \"http://a\"\n";
    std::fs::write(folder.path().join("wrong.toml"), wrong).map_err(text)?;
    let ended = run(words, folder.path()).await?;
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    hold(ended.status.code() == Some(code), format!("{words:?}: {:?}\n{said}", ended.status))?;
    let missing: Vec<_> = says.iter().filter(|words| !said.contains(**words)).collect();
    hold(missing.is_empty(), format!("{words:?} doesn't say {missing:?}, but:\n{said}"))
}

#[tokio::test]
async fn wrong_input_is_told_with_its_place_and_ends_with_2() -> Outcome {
    check(&["run"], 2, &["--config <FILE>|--to <URL>"]).await?;
    check(&["run", "--to", "a.example"], 2, &["--to", "did you mean \"https://a.example\"?"])
        .await?;
    check(&["run", "--config", "none.toml"], 2, &["none.toml", "can't be read"]).await?;
    let mistakes = ["wrong.toml:1:10", "127.0.0.1:8080", "`endpoints`?", "3 mistakes"];
    check(&["run", "--config", "wrong.toml"], 2, &mistakes).await?;
    check(&["check", "wrong.toml"], 2, &mistakes).await?;
    check(&["check", "--profile", "none"], 2, &["no profile `none`", "read-api"]).await
}

#[tokio::test]
async fn an_address_in_use_is_told_with_what_to_do_and_ends_with_1() -> Outcome {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").map_err(text)?;
    let address = taken.local_addr().map_err(text)?.to_string();
    let to = ["run", "--to", "http://127.0.0.1:1"];
    let says = |option| ["can't listen on", &address, "another process listens there", option];
    let listen = [&to[..], &["--listen", &address, "--admin", "off"]].concat();
    check(&listen, 1, &says("--listen")).await?;
    let admin = [&to[..], &["--listen", "127.0.0.1:0", "--admin", &address]].concat();
    check(&admin, 1, &says("--admin")).await
}

#[tokio::test]
async fn a_second_proxy_doesnt_share_the_address_of_the_first() -> Outcome {
    let nobody = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let first = Binary::start(&[("a", nobody)]).await?;
    let address = first.proxy.to_string();
    let second = ["run", "--to", "http://127.0.0.1:1", "--listen", &address, "--admin", "off"];
    check(&second, 1, &["can't listen on", &address]).await
}

#[test]
fn the_index_of_the_manual_has_each_page() -> Outcome {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let index = std::fs::read_to_string(folder.join("README.md")).map_err(text)?;
    for entry in std::fs::read_dir(folder).map_err(text)? {
        let name = entry.map_err(text)?.file_name().to_string_lossy().into_owned();
        let listed = name == "README.md" || index.contains(&format!("]({name})"));
        hold(listed, format!("docs/README.md doesn't list {name}"))?;
    }
    Ok(())
}
