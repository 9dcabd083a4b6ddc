//! Uploads to a server that resets: curl doesn't notice, the server has the very bytes, and hardly any were sent twice.

use mainstay_lab::pattern_byte;
use serde::Deserialize;

use crate::stage::text;
use crate::support::Binary;
use crate::support::program::Program;
use crate::{Outcome, curl};

/// What the server has, in the end.
#[derive(Debug, Deserialize)]
struct Has {
    received: u64,
    resets: u64,
    requests: Vec<String>,
}

/// The words for curl, and the status that it is to get.
async fn check(protocol: &str, words: &[&str], wanted: &str) -> Outcome {
    let bytes: Vec<u8> = (0..BYTES).map(pattern_byte).collect();
    let file = tempfile::NamedTempFile::new().map_err(text)?;
    std::fs::write(file.path(), &bytes).map_err(text)?;
    let kept = tempfile::NamedTempFile::new().map_err(text)?;
    let kept_path = kept.path().display().to_string();

    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/clients/uploads.py");
    let mut server = Program::find(&["python3"])?.start(&[script, protocol, &kept_path])?;
    let port = server.line().await?;
    let binary = Binary::run(&format!(
        "[upstream.files]
         endpoints = [\"http://127.0.0.1:{port}\"]
         resumable_upload.protocol = \"{protocol}\"
         spill = true"
    ))
    .await?;

    let (path, url) = (file.path().display().to_string(), format!("http://{}/files", binary.proxy));
    let words: Vec<String> = words.iter().map(|word| word.replace("FILE", &path)).collect();
    let always = ["--header", "authorization: Bearer secret", "--write-out", "%{http_code}"];
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let status = curl(&[&always, &words[..], &[&url]].concat()).await?;
    let has: Has = serde_json::from_str(&server.end_of_input().await?).map_err(text)?;

    let told = format!("{protocol} {words:?}: {status}, {has:?}");
    let is_whole = status == wanted && std::fs::read(kept.path()).map_err(text)? == bytes;
    let broke =
        has.resets == 3 && has.requests.iter().filter(|method| *method == "HEAD").count() >= 3;
    if !is_whole || !broke || has.received * 10 > BYTES * 11 {
        return Err(told);
    }
    let calls = binary.admin("/calls").await?;
    let call = &calls["calls"][0];
    if call["upload_resumed"] != 3 || call["outcome"] != "delivered" {
        return Err(format!("{told}; the record: {call}"));
    }
    Ok(())
}

#[tokio::test]
async fn a_post_goes_on_by_the_draft_while_its_server_resets() -> Outcome {
    check("ietf", &["--data-binary", "@FILE"], "201").await
}

#[tokio::test]
async fn a_put_of_unknown_length_goes_on_by_the_draft() -> Outcome {
    check("ietf", &["--header", "transfer-encoding: chunked", "--upload-file", "FILE"], "201").await
}

#[tokio::test]
async fn a_post_goes_on_by_tus_while_its_server_resets() -> Outcome {
    check("tus", &["--data-binary", "@FILE"], "204").await
}

/// More than memory for its replay holds, and than sockets do.
const BYTES: u64 = 20_000_000;
