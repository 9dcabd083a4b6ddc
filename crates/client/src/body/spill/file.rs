//! A file of sealed chunks.
//!
//! Each file has a key of its own, from the system's randomness, that exists in memory alone: when the process ends, or
//! drops the file, nobody can read what is left on the disk. A chunk is sealed with AES-256-GCM; its nonce is its
//! number, and since each is written once, none is used twice. A chunk that was changed, or moved to another place,
//! doesn't open.
//!
//! The file has no name, from its making on where the system can do that (`O_TMPFILE`), else from just after, before
//! anything is written to it. So it is gone when the process is, however that ends.
//!
//! What this doesn't protect is the memory itself: a body is there in the clear while it passes, and memory may be
//! swapped out.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use zeroize::Zeroizing;

use super::super::Share;
use super::Disk;

/// Chunks of one body. All its work blocks.
#[derive(Debug)]
pub(super) struct SealedFile {
    /// There until it is dropped.
    file: Option<File>,
    key: LessSafeKey,
    /// Its part of the disk's room.
    share: Mutex<Share>,
}

impl SealedFile {
    /// An empty one.
    pub(super) fn create(disk: &Disk) -> io::Result<Self> {
        let file = Some(create(&disk.dir)?);
        let share = Mutex::new(disk.room.share());
        Ok(Self { file, key: new_key()?, share })
    }

    /// Seals a chunk of [`CHUNK_BYTES`] and writes it to its place. Each index is for one chunk only.
    pub(super) fn write(&self, index: u64, chunk: &[u8]) -> io::Result<()> {
        debug_assert_eq!(chunk.len(), CHUNK_BYTES);
        if !self.share.lock().take(CHUNK_BYTES as u64) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut sealed = Vec::with_capacity(SEALED_BYTES);
        sealed.extend_from_slice(chunk);
        self.key
            .seal_in_place_append_tag(nonce(index), Aad::empty(), &mut sealed)
            .map_err(io::Error::other)?;
        self.file()?.write_all_at(&sealed, index * SEALED_BYTES as u64)
    }

    /// Reads a chunk that was written.
    ///
    /// # Errors
    ///
    /// It can't be read, or it isn't what was written.
    pub(super) fn read(&self, index: u64) -> io::Result<Bytes> {
        let mut sealed = vec![0; SEALED_BYTES];
        self.file()?.read_exact_at(&mut sealed, index * SEALED_BYTES as u64)?;
        let opened = self.key.open_in_place(nonce(index), Aad::empty(), &mut sealed);
        let len = opened.map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?.len();
        sealed.truncate(len);
        Ok(sealed.into())
    }

    fn file(&self) -> io::Result<&File> {
        self.file.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Drop for SealedFile {
    fn drop(&mut self) {
        // To close it is to free its blocks, which takes a while for many.
        if let (Some(file), Ok(runtime)) = (self.file.take(), Handle::try_current()) {
            runtime.spawn_blocking(move || drop(file));
        }
    }
}

/// A key that nobody has seen.
fn new_key() -> io::Result<LessSafeKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *bytes).map_err(io::Error::other)?;
    let key = UnboundKey::new(&AES_256_GCM, &*bytes).map_err(io::Error::other)?;
    Ok(LessSafeKey::new(key))
}

fn nonce(index: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[NONCE_LEN - 8..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Whether a file can be made in `dir`.
pub(in super::super) fn try_dir(dir: &Path) -> io::Result<()> {
    create(dir).map(drop)
}

/// A new file in `dir` that nobody else can open.
fn create(dir: &Path) -> io::Result<File> {
    // Some filesystems can't; what else is wrong, the second way tells as well.
    without_name(dir).or_else(|_| soon_without_name(dir))
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn without_name(dir: &Path) -> io::Result<File> {
    let flags = libc::O_TMPFILE | libc::O_EXCL;
    OpenOptions::new().read(true).write(true).mode(OWNER_ONLY).custom_flags(flags).open(dir)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn without_name(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

fn soon_without_name(dir: &Path) -> io::Result<File> {
    let mut random = [0; 8];
    aws_lc_rs::rand::fill(&mut random).map_err(io::Error::other)?;
    let path = dir.join(format!("mainstay-spill-{:016x}", u64::from_be_bytes(random)));
    let file =
        OpenOptions::new().read(true).write(true).create_new(true).mode(OWNER_ONLY).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

const OWNER_ONLY: u32 = 0o600;

/// Large enough that the changes of thread don't count beside the work, small enough that some can be held in memory
/// for each body.
pub(super) const CHUNK_BYTES: usize = 64 * 1024;

/// With its tag.
const SEALED_BYTES: usize = CHUNK_BYTES + 16;

#[cfg(test)]
mod tests {
    use super::super::super::room::Room;
    use super::*;

    fn sealed() -> SealedFile {
        let disk = Disk { dir: std::env::temp_dir(), room: Room::new(1 << 30) };
        SealedFile::create(&disk).expect("a temporary file")
    }

    fn chunk(fill: u8) -> Vec<u8> {
        vec![fill; CHUNK_BYTES]
    }

    #[test]
    fn chunks_are_read_as_they_were_written() {
        let file = sealed();
        for index in 0..3 {
            file.write(index, &chunk(index as u8)).expect("room");
        }
        for index in [2, 0, 1] {
            assert_eq!(file.read(index).expect("there"), chunk(index as u8));
        }
        assert_eq!(file.read(3).expect_err("not there").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let file = sealed();
        file.write(0, &chunk(7)).expect("room");
        for place in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, SEALED_BYTES - 1] {
            let (inner, mut byte) = (file.file().expect("open"), [0]);
            inner.read_exact_at(&mut byte, place as u64).expect("there");
            inner.write_all_at(&[byte[0] ^ 1], place as u64).expect("writable");
            assert_eq!(file.read(0).expect_err("damaged").kind(), io::ErrorKind::InvalidData);
            inner.write_all_at(&byte, place as u64).expect("writable");
        }
        file.read(0).expect("whole again");
    }

    #[test]
    fn a_chunk_at_anothers_place_isnt_taken_for_it() {
        let file = sealed();
        for index in 0..2 {
            file.write(index, &chunk(1)).expect("room");
        }
        let mut first = vec![0; SEALED_BYTES];
        let inner = file.file().expect("open");
        inner.read_exact_at(&mut first, 0).expect("there");
        inner.write_all_at(&first, SEALED_BYTES as u64).expect("writable");
        assert_eq!(file.read(1).expect_err("moved").kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn what_is_on_the_disk_shows_nothing_of_the_body_and_no_chunk_like_another() {
        let file = sealed();
        let text: Vec<u8> = b"secret--".iter().copied().cycle().take(CHUNK_BYTES).collect();
        for index in 0..2 {
            file.write(index, &text).expect("room");
        }
        let mut all = vec![0; 2 * SEALED_BYTES];
        file.file().expect("open").read_exact_at(&mut all, 0).expect("there");
        assert!(!all.windows(8).any(|eight| eight == b"secret--"));
        assert_ne!(all[..SEALED_BYTES], all[SEALED_BYTES..]);
    }

    #[test]
    fn a_file_that_cant_be_made_without_a_name_loses_it_at_once() {
        let dir = std::env::temp_dir().join(format!("mainstay-{}", std::process::id()));
        std::fs::create_dir(&dir).expect("a directory");
        let named = soon_without_name(&dir).expect("a file");
        let left = std::fs::read_dir(&dir).expect("a directory").count();
        std::fs::remove_dir(&dir).expect("an empty directory");
        assert_eq!(left, 0);
        named.write_all_at(b"x", 0).expect("still writable");
    }
}
