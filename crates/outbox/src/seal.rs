//! Content on the disk: sealed where there is a key, checked in any case.
//!
//! ```text
//!   0 | sum (16) | content                            no key: SHA-256, its first half
//!   1 | key's name (4) | nonce (12) | sealed, tag (16)   AES-256-GCM
//! ```
//!
//! Whose content it is, and which part, goes into the sum and the seal, so that a part that got to another place isn't taken
//! for what belongs there. Nonces are random, 96 bits: with one key some four billion parts may be sealed (NIST SP 800-38D, section
//! 8.3), after which it should have been replaced.
//!
//! The first key seals, and all of them open: a new one is put first, and the old one is taken away when nothing sealed with it
//! is left.

use std::fmt;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::digest::{self, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::DeliveryId;

/// The keys of a store. None: content is checked and not sealed.
#[derive(Default)]
pub struct Keys(Vec<Named>);

struct Named {
    name: [u8; 4],
    key: LessSafeKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({})", self.0.len())
    }
}

/// Which part of a delivery's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Head = 1,
    Body = 2,
    AnswerHead = 3,
    AnswerBody = 4,
    Callback = 5,
}

/// Why content can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// It isn't what was written.
    Damaged,
    /// The key that sealed it isn't there. Its name: the first four bytes of its SHA-256.
    NoKey([u8; 4]),
    /// The system gives no randomness, or memory ran out.
    Unsealable,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("stored content isn't what was written"),
            Self::NoKey(name) => write!(
                f,
                "the key that sealed stored content isn't among the outbox's keys: its fingerprint is {:08x}",
                u32::from_be_bytes(*name)
            ),
            Self::Unsealable => f.write_str("content can't be sealed"),
        }
    }
}

impl std::error::Error for SealError {}

/// Why a file is no key.
#[derive(Debug)]
pub struct KeyError(String);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for KeyError {}

impl Keys {
    /// Reads key files: each 32 bytes in base64, such as `openssl rand -base64 32` prints.
    ///
    /// # Errors
    ///
    /// A file can't be read, or isn't a key.
    pub fn read<'a>(files: impl IntoIterator<Item = &'a Path>) -> Result<Self, KeyError> {
        let read = |file: &Path| {
            let text =
                Zeroizing::new(std::fs::read(file).map_err(|error| {
                    KeyError(format!("{} can't be read: {error}", file.display()))
                })?);
            Named::of(&text).ok_or_else(|| {
                KeyError(format!("{} isn't a key: 32 bytes in base64 are", file.display()))
            })
        };
        files.into_iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Seals `content`.
    pub(crate) fn seal(
        &self,
        id: DeliveryId,
        part: Part,
        content: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let about = about(id, part);
        let Some(Named { name, key }) = self.0.first() else {
            let mut plain = Vec::with_capacity(1 + SUM_BYTES + content.len());
            plain.push(PLAIN);
            plain.extend_from_slice(&sum(&[&about, content]));
            plain.extend_from_slice(content);
            return Ok(plain);
        };
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(|_| SealError::Unsealable)?;
        let mut sealed = content.to_vec();
        key.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(about),
            &mut sealed,
        )
        .map_err(|_| SealError::Unsealable)?;
        let mut whole = Vec::with_capacity(1 + name.len() + nonce.len() + sealed.len());
        whole.push(SEALED);
        whole.extend_from_slice(name);
        whole.extend_from_slice(&nonce);
        whole.append(&mut sealed);
        Ok(whole)
    }

    /// Opens what was sealed, or checks what wasn't.
    pub(crate) fn open(
        &self,
        id: DeliveryId,
        part: Part,
        stored: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let about = about(id, part);
        match stored.split_first() {
            Some((&PLAIN, rest)) => {
                let (found, content) =
                    rest.split_at_checked(SUM_BYTES).ok_or(SealError::Damaged)?;
                let fits = found == sum(&[&about, content]);
                if fits { Ok(content.to_vec()) } else { Err(SealError::Damaged) }
            }
            Some((&SEALED, rest)) => {
                let (name, rest) = rest.split_first_chunk().ok_or(SealError::Damaged)?;
                let (nonce, sealed) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Damaged)?;
                let named = self
                    .0
                    .iter()
                    .find(|known| known.name == *name)
                    .ok_or(SealError::NoKey(*name))?;
                let nonce =
                    Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealError::Damaged)?;
                let mut content = sealed.to_vec();
                let len = named
                    .key
                    .open_in_place(nonce, Aad::from(about), &mut content)
                    .map_err(|_| SealError::Damaged)?
                    .len();
                content.truncate(len);
                Ok(content)
            }
            _ => Err(SealError::Damaged),
        }
    }
}

impl Named {
    fn of(text: &[u8]) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim_ascii()).ok()?);
        let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
        let mut name = [0; 4];
        // Its hash names it and doesn't tell it.
        name.copy_from_slice(&digest::digest(&SHA256, &bytes).as_ref()[..4]);
        Some(Self { name, key: LessSafeKey::new(key) })
    }
}

fn about(id: DeliveryId, part: Part) -> [u8; 17] {
    let mut about = [0; 17];
    about[..16].copy_from_slice(id.as_bytes());
    about[16] = part as u8;
    about
}

/// SHA-256 over `parts`, each with its length: what tells one request from another.
#[must_use]
pub fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut whole = [0; 32];
    whole.copy_from_slice(context.finish().as_ref());
    whole
}

/// The first half of SHA-256 over `parts`, each with its length.
pub(crate) fn sum(parts: &[&[u8]]) -> [u8; SUM_BYTES] {
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&fingerprint(parts)[..SUM_BYTES]);
    sum
}

pub(crate) const SUM_BYTES: usize = 16;
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> DeliveryId {
        DeliveryId::of_bytes([7; 16])
    }

    fn keys(fills: &[u8]) -> Keys {
        let named = |fill: &u8| Named::of(STANDARD.encode([*fill; 32]).as_bytes()).unwrap();
        Keys(fills.iter().map(named).collect())
    }

    #[test]
    fn content_comes_back_and_no_flipped_bit_goes_unnoticed() {
        for keys in [keys(&[]), keys(&[1])] {
            let stored = keys.seal(id(), Part::Body, b"content").unwrap();
            assert_eq!(keys.open(id(), Part::Body, &stored).unwrap(), b"content");
            for bit in 0..stored.len() * 8 {
                let mut damaged = stored.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                assert!(keys.open(id(), Part::Body, &damaged).is_err(), "bit {bit}");
            }
            for len in 0..stored.len() {
                assert!(keys.open(id(), Part::Body, &stored[..len]).is_err(), "cut to {len}");
            }
        }
    }

    #[test]
    fn anothers_content_is_not_taken_for_it() {
        for keys in [keys(&[]), keys(&[1])] {
            let stored = keys.seal(id(), Part::Body, b"content").unwrap();
            let other = DeliveryId::of_bytes([8; 16]);
            assert_eq!(keys.open(other, Part::Body, &stored), Err(SealError::Damaged));
            assert_eq!(keys.open(id(), Part::Head, &stored), Err(SealError::Damaged));
        }
    }

    #[test]
    fn a_new_key_seals_and_the_old_one_still_opens() {
        let stored = keys(&[1]).seal(id(), Part::Head, b"x").unwrap();
        assert_eq!(keys(&[2, 1]).open(id(), Part::Head, &stored).unwrap(), b"x");
        let name = |fill| keys(&[fill]).0[0].name;
        assert_eq!(keys(&[2]).open(id(), Part::Head, &stored), Err(SealError::NoKey(name(1))));
        let newer = keys(&[2, 1]).seal(id(), Part::Head, b"x").unwrap();
        assert_eq!(keys(&[1]).open(id(), Part::Head, &newer), Err(SealError::NoKey(name(2))));
    }

    #[test]
    fn nothing_of_the_content_shows() {
        let stored = keys(&[1]).seal(id(), Part::Body, b"secret--secret--").unwrap();
        assert!(!stored.windows(6).any(|six| six == b"secret"));
    }

    #[test]
    fn a_file_that_is_no_key_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let read = || Keys::read([file.as_path()]);
        assert!(read().unwrap_err().to_string().contains("can't be read"));
        for wrong in ["", "short", &STANDARD.encode([1; 31])] {
            std::fs::write(&file, wrong).unwrap();
            assert!(read().unwrap_err().to_string().ends_with("32 bytes in base64 are"));
        }
        std::fs::write(&file, STANDARD.encode([1; 32]) + "\n").unwrap();
        assert!(read().is_ok());
    }
}
