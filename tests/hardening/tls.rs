//! What a TLS listener agrees to, asked by hand: one version and one cipher suite at a time, as somebody would who looks for the weakest.
//!
//! The other direction, certificates of upstreams that are expired, of another name or of nobody's, and protocols that are too old, is
//! in `tests/breaks`.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::Outcome;
use crate::support::{Binary, PATIENCE, text};

/// What came of a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    /// It agreed to this version and suite.
    Agreed(u16, u16),
    Alert(u8),
    Closed,
}

/// The binary with a TLS listener; its certificate's key is an ECDSA one.
async fn secured() -> Result<(Binary, SocketAddr, tempfile::TempDir), String> {
    let folder = tempfile::tempdir().map_err(text)?;
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).map_err(text)?;
    std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).map_err(text)?;
    std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem())
        .map_err(text)?;
    let free = TcpListener::bind("127.0.0.1:0").await.map_err(text)?.local_addr().map_err(text)?;
    let path = folder.path().display();
    let config = format!(
        "limits.head_timeout = \"500ms\"\n[[listener]]\naddress = \"{free}\"\ncertificate = \"{path}/cert.pem\"\nkey = \"{path}/key.pem\"\n\
         [upstream.api]\nendpoints = [\"http://127.0.0.1:1\"]\nhealth = false\n"
    );
    let binary = Binary::run(&config).await?;
    Ok((binary, free, folder))
}

/// A ClientHello (RFC 8446, section 4.1.2, and RFC 5246, section 7.4.1.2) that offers just this.
fn hello(version: u16, suite: u16) -> Vec<u8> {
    let is_13 = version == 0x0304;
    let legacy = version.min(0x0303);
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, body: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend((body.len() as u16).to_be_bytes());
        extensions.extend_from_slice(body);
    };
    if version >= 0x0303 {
        // Groups: X25519 and P-256; signatures: ECDSA and RSA-PSS, with SHA-256, and what TLS 1.2 may have beside them.
        extension(10, &[0, 4, 0, 29, 0, 23]);
        extension(13, &[0, 8, 4, 3, 8, 4, 4, 1, 5, 3]);
        extension(11, &[1, 0]);
        extension(23, &[]);
    }
    if is_13 {
        extension(43, &[2, 3, 4]);
        // No share: it is to ask for one, which says that it agrees.
        extension(51, &[0, 0]);
    }
    let mut body = legacy.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 2]);
    body.extend(suite.to_be_bytes());
    body.extend([1, 0]);
    if !extensions.is_empty() {
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
    }
    let mut message = vec![1, 0];
    message.extend((body.len() as u16).to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend((message.len() as u16).to_be_bytes());
    record.extend(message);
    record
}

async fn ask(address: SocketAddr, hello: &[u8]) -> Result<Answer, String> {
    let mut tcp = TcpStream::connect(address).await.map_err(text)?;
    tcp.write_all(hello).await.map_err(text)?;
    let mut got = Vec::new();
    while got.len() < 100 {
        let mut piece = [0; 512];
        match timeout(PATIENCE, tcp.read(&mut piece)).await {
            Err(_) => return Err(format!("nothing comes behind {got:?}")),
            Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(length)) => got.extend_from_slice(&piece[..length]),
        }
        if matches!(got[..], [21, _, _, 0, 2, _, _, ..]) {
            break;
        }
    }
    Ok(read(&got))
}

fn read(got: &[u8]) -> Answer {
    let two = |at: usize| got.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
    match got.first() {
        Some(21) => Answer::Alert(got.get(6).copied().unwrap_or_default()),
        Some(22) => {
            // Record 5, message 4, version 2, random 32, length of the session id 1.
            let behind = 44 + usize::from(got.get(43).copied().unwrap_or_default());
            let is_13 = got.windows(6).any(|window| window == [0, 43, 0, 2, 3, 4]);
            Answer::Agreed(if is_13 { 0x0304 } else { two(9) }, two(behind))
        }
        _ => Answer::Closed,
    }
}

/// Forward secrecy, and ciphers that authenticate what they encrypt; of TLS 1.2 those for the certificate's kind of key.
const AGREED: [(u16, u16); 6] = [
    (0x0304, 0x1301),
    (0x0304, 0x1302),
    (0x0304, 0x1303),
    (0x0303, 0xc02b),
    (0x0303, 0xc02c),
    (0x0303, 0xcca9),
];

/// Suites without forward secrecy, with CBC, RC4, 3DES, export keys, no encryption, no authentication, or finite-field groups.
const WEAK: [u16; 22] = [
    0x0000, 0x0003, 0x0004, 0x0005, 0x000a, 0x002f, 0x0033, 0x0035, 0x0039, 0x003c, 0x003d, 0x0067,
    0x009c, 0x009d, 0x009e, 0x009f, 0xc009, 0xc00a, 0xc023, 0xc024, 0xc013, 0xc018,
];

#[tokio::test]
async fn only_tls_1_2_and_1_3_with_strong_suites_are_agreed_to() -> Outcome {
    let (_binary, address, _folder) = secured().await?;
    for (version, suite) in AGREED {
        let answer = ask(address, &hello(version, suite)).await?;
        if answer != Answer::Agreed(version, suite) {
            return Err(format!("{version:04x} with {suite:04x}: {answer:?}"));
        }
    }
    for suite in WEAK {
        let answer = ask(address, &hello(0x0303, suite)).await?;
        if matches!(answer, Answer::Agreed(..)) {
            return Err(format!("TLS 1.2 with {suite:04x}: {answer:?}"));
        }
    }
    // SSL 3.0, TLS 1.0 and 1.1, with what they had best.
    for version in [0x0300, 0x0301, 0x0302] {
        for suite in [0x002f, 0xc009, 0xc013] {
            let answer = ask(address, &hello(version, suite)).await?;
            if matches!(answer, Answer::Agreed(..)) {
                return Err(format!("{version:04x} with {suite:04x}: {answer:?}"));
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_tls_listener_serves_nothing_in_the_clear() -> Outcome {
    let (_binary, address, _folder) = secured().await?;
    let mut app = crate::stage::App::of(address).await?;
    app.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let got = app.rest().await?;
    if got.starts_with(b"HTTP/") { Err("it answers in the clear".into()) } else { Ok(()) }
}

#[tokio::test]
async fn a_handshake_that_isnt_finished_is_cut() -> Outcome {
    let (_binary, address, _folder) = secured().await?;
    let mut silent = Vec::new();
    for _ in 0..20 {
        let mut app = crate::stage::App::of(address).await?;
        app.send(&hello(0x0304, 0x1301)[..20]).await;
        silent.push(app);
    }
    // `limits.head_timeout` bounds it.
    for app in &mut silent {
        app.rest().await?;
    }
    Ok(())
}
