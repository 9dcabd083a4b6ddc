//! What the record of a call and `mainstay diagnose` say of each break in the table.

use std::io::Write as _;
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::{self, Binary, PATIENCE, text};
use crate::table::{ROWS, Row};
use crate::{Outcome, Stage};

/// What was said of one break.
struct Said {
    recorded: String,
    diagnosed: String,
    exit: i32,
    peer: String,
    cause: String,
}

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/diagnose.md");

#[tokio::test]
async fn the_record_and_diagnose_name_each_break_alike_and_the_page_is_up_to_date() -> Outcome {
    let mut wrong = Vec::new();
    let mut lines = String::new();
    for row in &ROWS {
        let said = provoke(row).await.map_err(|why| format!("{}: {why}", row.fault))?;
        if (&*said.recorded, &*said.diagnosed, said.exit) != (row.code, row.code, row.exit) {
            wrong.push(format!(
                "{}: wanted {} and {}, recorded {}, diagnosed {} and {}",
                row.fault, row.code, row.exit, said.recorded, said.diagnosed, said.exit
            ));
        }
        lines.push_str(&format!(
            "| [`{0}`](breaks.md#{0}) | `{1}` | {2} | {3} | {4} |\n",
            row.code, row.fault, said.peer, said.cause, said.exit
        ));
    }
    if !wrong.is_empty() {
        return Err(wrong.join("\n"));
    }
    check_page(&lines)
}

async fn provoke(row: &Row) -> Result<Said, String> {
    let stage = Stage::set(&row.lab()).await?;
    stage.fault(row.whose(), row.fault).await?;
    let endpoint = row.endpoint(stage.port("a")?);
    let config = stage.config(&endpoint, row.config);
    let binary = Binary::run(&config).await?;
    // What comes of it stands in the record; the answer may well break in the middle.
    drop(support::get(binary.proxy, "/bytes/4096").await);
    let recorded = first_break(&binary).await?;
    drop(binary);
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().map_err(text)?;
    file.write_all(config.as_bytes()).map_err(text)?;
    let url = format!("{endpoint}/bytes/4096");
    let walk = Command::new(env!("CARGO_BIN_EXE_mainstay"))
        .args(["diagnose", &url, "--json", "--timeout", "1", "--via"])
        .arg(file.path())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output =
        timeout(PATIENCE, walk).await.map_err(|_| "diagnose doesn't end")?.map_err(text)?;
    let told: Value = serde_json::from_slice(&output.stdout)
        .map_err(|why| format!("{why}: {}", String::from_utf8_lossy(&output.stderr)))?;
    let finding = &told["endpoints"][0]["seen"][0]["finding"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    Ok(Said {
        recorded,
        diagnosed: word(&finding["code"]),
        exit: output.status.code().unwrap_or(-1),
        peer: word(&finding["peer"]),
        cause: word(&finding["causes"][0]),
    })
}

/// The code of the first break in the record of the only call.
async fn first_break(binary: &Binary) -> Result<String, String> {
    let told = timeout(PATIENCE, async {
        loop {
            let calls = binary.admin("/calls").await?;
            if let Some(call) = calls["calls"].as_array().and_then(|calls| calls.first()) {
                let first = &call["attempts"][0]["code"];
                let code = first.as_str().or_else(|| call["body_broke"].as_str());
                return code.map(str::to_owned).ok_or_else(|| format!("no break in {call}"));
            }
            tokio::task::yield_now().await;
        }
    });
    told.await.map_err(|_| "the call has no record")?
}

/// Compares the table in the page, or writes it.
fn check_page(lines: &str) -> Outcome {
    const BEGIN: &str = "<!-- table -->\n";
    const END: &str = "<!-- /table -->";
    let head = "| code | what was done (a fault of the [lab](lab.md)) | what `diagnose` said that the peer did | the likeliest cause | exit |\n|---|---|---|---|---|\n";
    let page = std::fs::read_to_string(PAGE).map_err(text)?;
    let (before, rest) = page.split_once(BEGIN).ok_or("docs/diagnose.md has no table")?;
    let (_, after) = rest.split_once(END).ok_or("the table in docs/diagnose.md has no end")?;
    let wanted = format!("{before}{BEGIN}{head}{lines}{END}{after}");
    if page == wanted {
        return Ok(());
    }
    if std::env::var_os("MAINSTAY_BLESS").is_some() {
        return std::fs::write(PAGE, wanted).map_err(text);
    }
    Err("docs/diagnose.md isn't up to date: run `cargo xtask bless`".into())
}
