//! Answers of a name server: whatever it says, a call ends in good time, and nothing else is told than what became of it.

#![expect(clippy::unwrap_used, reason = "a stage that can't be set is a failure")]

use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use hickory_resolver::proto::op::Message;
use hickory_resolver::proto::rr::RData;
use mainstay_proxy::Proxy;

use super::net::{say, started};

struct Stage {
    proxy: Proxy,
    says: Arc<Mutex<Vec<u8>>>,
}

/// Runs it: the input stands behind the header and the question of each answer; its first two bytes are the header's flags and its
/// number of records.
///
/// # Panics
///
/// Where it doesn't hold.
pub fn run(bytes: &[u8]) {
    static STAGE: OnceLock<Stage> = OnceLock::new();
    let stage = STAGE.get_or_init(set);
    *stage.says.lock().unwrap_or_else(PoisonError::into_inner) = bytes.to_vec();
    let got =
        say(stage.proxy.addresses()[0], b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let text = String::from_utf8_lossy(&got);
    assert!(text.starts_with("HTTP/1.1 50"), "it isn't told what became of it: {text:?}");
}

fn set() -> Stage {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let server = socket.local_addr().unwrap();
    let says = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&says);
    thread::spawn(move || {
        let mut question = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let said: Vec<u8> = told.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (Some(head), Some(rest)) = (question.get(..2), question.get(12..length)) else {
                continue;
            };
            let (knobs, records) = said.split_at(said.len().min(2));
            let flags = knobs.first().copied().unwrap_or_default();
            let count = knobs.get(1).copied().unwrap_or_default();
            // The right id, an answer, the question repeated without what stands behind it, and so many records.
            let mut answer = head.to_vec();
            answer.extend([
                0x80 | flags & 0x07,
                0x80 | flags >> 4,
                0,
                1,
                0,
                count % 8,
                0,
                count / 64,
                0,
                0,
            ]);
            let end = rest
                .iter()
                .position(|byte| *byte == 0)
                .map_or(rest.len(), |end| (end + 5).min(rest.len()));
            answer.extend_from_slice(&rest[..end]);
            answer.extend_from_slice(records);
            let _ = socket.send_to(&at_home(answer), from);
        }
    });
    // A port at which nobody listens, at whatever address of the loopback is found.
    let proxy = started(&format!(
        "endpoints = [\"http://api.fuzz:1\"]\nconnect.dns.servers = [\"{server}\"]\nconnect.dns.min_ttl = \"0s\"\nbreaker.mode = \"off\"\n\
         retry.max_attempts = 1\nattempt_timeout = \"100ms\"\ntotal_timeout = \"300ms\"\n"
    ));
    Stage { proxy, says }
}

/// The same answer; where it can be read, its addresses are of the loopback: nobody else is to be asked for a connection.
fn at_home(answer: Vec<u8>) -> Vec<u8> {
    let Ok(mut message) = Message::from_vec(&answer) else { return answer };
    let mut moved = false;
    let Message { answers, authorities, additionals, .. } = &mut message;
    for record in answers.iter_mut().chain(authorities).chain(additionals) {
        match &mut record.data {
            RData::A(address) if !address.0.is_loopback() => {
                let [.., last] = address.0.octets();
                *address = Ipv4Addr::new(127, 0, 0, last).into();
            }
            RData::AAAA(address) if !address.0.is_loopback() => {
                *address = Ipv6Addr::LOCALHOST.into();
            }
            _ => continue,
        }
        moved = true;
    }
    if !moved {
        return answer;
    }
    // What was read can be written, as a rule; what can't isn't said.
    message.to_vec().unwrap_or_default()
}
