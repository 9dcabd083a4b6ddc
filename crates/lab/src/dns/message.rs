//! Questions and answers as bytes (RFC 1035, 4), by hand: the lab has to be able to write what a library wouldn't, and
//! knows no other part of Mainstay, not even its resolver.

use std::net::IpAddr;
use std::time::Duration;

use crate::fault::Family;

/// A question, as far as the lab understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Question {
    id: [u8; 2],
    recursion_desired: u8,
    /// In lower case, without the dot at the end.
    pub(crate) name: String,
    /// None: something else than addresses is asked for.
    pub(crate) family: Option<Family>,
    /// The question's own bytes, which an answer repeats.
    bytes: Vec<u8>,
}

/// How an answer's head ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    NoError = 0,
    ServerFailure = 2,
    NoSuchName = 3,
    Refused = 5,
}

impl Question {
    /// Reads a message with one question; none if it isn't one.
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        let (head, rest) = message.split_first_chunk::<HEAD_BYTES>()?;
        let is_query = head[2] & 0xf8 == 0;
        if !is_query || head[4..6] != [0, 1] {
            return None;
        }
        let mut name = Vec::new();
        let mut at = 0;
        loop {
            let length = usize::from(*rest.get(at)?);
            at += 1;
            match length {
                0 => break,
                // A name in a question is written out: there is nothing before it to point at.
                1..=63 => name.push(rest.get(at..at + length)?.to_ascii_lowercase()),
                _ => return None,
            }
            at += length;
        }
        let bytes = rest.get(..at + 4)?;
        let family = match bytes[at..] {
            [0, TYPE_A, 0, 1] => Some(Family::A),
            [0, TYPE_AAAA, 0, 1] => Some(Family::Aaaa),
            _ => None,
        };
        let name = String::from_utf8(name.join(&b'.')).ok()?;
        let (id, recursion_desired) = ([head[0], head[1]], head[2] & 1);
        Some(Self { id, recursion_desired, name, family, bytes: bytes.to_vec() })
    }

    /// An answer with these addresses; those of the other family are left out.
    pub(crate) fn answer(&self, code: Code, addresses: &[IpAddr], ttl: Duration) -> Vec<u8> {
        let fitting: Vec<_> = addresses
            .iter()
            .filter(|address| match self.family {
                Some(Family::A) => address.is_ipv4(),
                Some(Family::Aaaa) => address.is_ipv6(),
                None => false,
            })
            .take(ADDRESSES_LIMIT)
            .collect();
        // An answer, by whoever decides about the name, to a question with or without recursion.
        let flags = [0x84 | self.recursion_desired, 0x80 | code as u8];
        let mut out = [&self.id[..], &flags, &[0, 1, 0, fitting.len() as u8, 0, 0, 0, 0]].concat();
        out.extend_from_slice(&self.bytes);
        if code == Code::NoSuchName || (code == Code::NoError && fitting.is_empty()) {
            // For so long "there is none" may be kept (RFC 2308, 5): without the SOA resolvers keep it or not as they like.
            out[9] = 1;
            out.extend_from_slice(&soa(seconds(ttl)));
        }
        for address in fitting {
            // The name is the question's, which begins behind the head.
            out.extend_from_slice(&[0xc0, HEAD_BYTES as u8]);
            let (kind, octets) = match address {
                IpAddr::V4(address) => (TYPE_A, address.octets().to_vec()),
                IpAddr::V6(address) => (TYPE_AAAA, address.octets().to_vec()),
            };
            out.extend_from_slice(&[0, kind, 0, 1]);
            out.extend_from_slice(&seconds(ttl).to_be_bytes());
            out.extend_from_slice(&(octets.len() as u16).to_be_bytes());
            out.extend_from_slice(&octets);
        }
        out
    }
}

/// The SOA of the root, with root for all its names, which lets a negative answer be kept for so many seconds.
fn soa(keep_for: u32) -> Vec<u8> {
    let mut out = vec![0, 0, TYPE_SOA, 0, 1];
    out.extend_from_slice(&keep_for.to_be_bytes());
    out.extend_from_slice(&[0, 22, 0, 0]);
    for number in [1, 60, 60, 60, keep_for] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out
}

fn seconds(ttl: Duration) -> u32 {
    u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX)
}

const HEAD_BYTES: usize = 12;

const TYPE_A: u8 = 1;

const TYPE_SOA: u8 = 6;

const TYPE_AAAA: u8 = 28;

/// Sixteen IPv6 addresses fill the 512 bytes that every resolver takes over UDP.
const ADDRESSES_LIMIT: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(kind: u8) -> Vec<u8> {
        let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(b"\x03API\x03lab\x00");
        message.extend_from_slice(&[0, kind, 0, 1]);
        message
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let question = Question::read(&asked(TYPE_A)).unwrap();
        assert_eq!((question.name.as_str(), question.family), ("api.lab", Some(Family::A)));
        let addresses = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let answer = question.answer(Code::NoError, &addresses, Duration::from_secs(2));
        assert_eq!(answer[..12], [7, 9, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0]);
        assert_eq!(answer[answer.len() - 10..], [0, 0, 0, 2, 0, 4, 127, 0, 0, 1]);
    }

    #[test]
    fn no_data_comes_with_the_time_that_it_may_be_kept() {
        let question = Question::read(&asked(TYPE_AAAA)).unwrap();
        let answer = question.answer(Code::NoError, &[], Duration::from_secs(2));
        assert_eq!(answer[6..12], [0, 0, 0, 1, 0, 0]);
        assert_eq!(answer[answer.len() - 4..], [0, 0, 0, 2]);
    }

    #[test]
    fn what_is_no_question_is_left_alone() {
        let whole = asked(TYPE_A);
        for length in 0..whole.len() {
            assert_eq!(Question::read(&whole[..length]), None, "{length}");
        }
        let mut answer = whole;
        answer[2] |= 0x80;
        assert_eq!(Question::read(&answer), None);
    }
}
