//! The part of a body that is kept in a file: encrypted, without a name, gone when the call is over.
//!
//! What comes is gathered into chunks of 64 KiB. Full ones are sealed and written, each once; the rest, less than one,
//! stays in memory. A chunk is readable from memory until it is known to be in the file, so that a replay never waits
//! for a write, and a write that fails loses nothing that is still to be sent.
//!
//! **On threads of their own.** A runtime here is one thread that carries thousands of calls, and a write to a file
//! takes microseconds until the system has too many dirty pages or the disk is slow, and then takes seconds. So files are
//! made, written, read and closed by tokio's threads for blocking work. That costs two changes of thread for each
//! 64 KiB, some ten microseconds beside the sealing, which is off the runtime's thread as well.
//!
//! At most one write is under way for each body, and the source isn't read while a chunk waits behind it: a disk that
//! is slower than the application slows it down, instead of filling the memory.

mod file;

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::task::{JoinHandle, spawn_blocking};

use super::store::Disk;
pub(super) use file::try_dir;
use file::{CHUNK_BYTES, SealedFile};

/// What a body has beyond memory.
#[derive(Debug)]
pub(super) struct Spill {
    disk: Arc<Disk>,
    most_bytes: u64,
    len: u64,
    file: Option<Arc<SealedFile>>,
    /// Chunks that are in the file.
    written: u64,
    /// The chunks that come next, oldest first.
    unwritten: VecDeque<Bytes>,
    /// The writing of the oldest of them.
    writing: Option<JoinHandle<io::Result<Arc<SealedFile>>>>,
    /// What comes after them, less than a chunk.
    rest: BytesMut,
}

/// What is at a place.
#[derive(Debug)]
pub(super) enum Stored {
    /// In memory.
    Here(Bytes),
    /// In the file.
    Written(Fetch),
}

/// A chunk on its way out of the file.
#[derive(Debug)]
pub(super) struct Fetch {
    reading: JoinHandle<io::Result<Bytes>>,
    skipped_bytes: usize,
}

impl Spill {
    /// Nothing yet, and never more than `most_bytes`. There is no file before there is a chunk for it.
    pub(super) fn new(disk: &Arc<Disk>, most_bytes: u64) -> Self {
        Self {
            disk: Arc::clone(disk),
            most_bytes,
            len: 0,
            file: None,
            written: 0,
            unwritten: VecDeque::new(),
            writing: None,
            rest: BytesMut::new(),
        }
    }

    /// Keeps the next piece; false when it is too much.
    pub(super) fn push(&mut self, mut piece: Bytes) -> bool {
        if piece.len() as u64 > self.most_bytes - self.len {
            return false;
        }
        self.len += piece.len() as u64;
        while !piece.is_empty() {
            if self.rest.is_empty() && piece.len() >= CHUNK_BYTES {
                self.unwritten.push_back(piece.split_to(CHUNK_BYTES));
                continue;
            }
            self.rest.reserve(CHUNK_BYTES - self.rest.len());
            let fits = piece.len().min(CHUNK_BYTES - self.rest.len());
            self.rest.extend_from_slice(&piece.split_to(fits));
            if self.rest.len() == CHUNK_BYTES {
                self.unwritten.push_back(std::mem::take(&mut self.rest).freeze());
            }
        }
        true
    }

    /// Writes what is to be written. Ready when there is room for another piece.
    ///
    /// # Errors
    ///
    /// The file can't be made or written, or there is no room for it.
    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(writing) = &mut self.writing {
                let Poll::Ready(wrote) = Pin::new(writing).poll(cx) else {
                    let has_room = self.unwritten.len() == 1;
                    return if has_room { Poll::Ready(Ok(())) } else { Poll::Pending };
                };
                self.writing = None;
                self.file = Some(wrote.map_err(io::Error::other)??);
                self.unwritten.pop_front();
                self.written += 1;
            }
            let Some(chunk) = self.unwritten.front() else { return Poll::Ready(Ok(())) };
            let (disk, file) = (Arc::clone(&self.disk), self.file.clone());
            let (index, chunk) = (self.written, chunk.clone());
            self.writing = Some(spawn_blocking(move || {
                let file = file.map_or_else(|| SealedFile::create(&disk).map(Arc::new), Ok)?;
                file.write(index, &chunk)?;
                Ok(file)
            }));
        }
    }

    /// What comes at `place`; nothing from its end on.
    pub(super) fn at(&self, place: u64) -> Option<Stored> {
        let (index, skipped_bytes) =
            (place / CHUNK_BYTES as u64, (place % CHUNK_BYTES as u64) as usize);
        if let Some(file) = self.file.as_ref().filter(|_| index < self.written) {
            let file = Arc::clone(file);
            let reading = spawn_blocking(move || file.read(index));
            return Some(Stored::Written(Fetch { reading, skipped_bytes }));
        }
        let here = (index - self.written) as usize;
        let rest = || Bytes::copy_from_slice(self.rest.get(skipped_bytes..).unwrap_or_default());
        let bytes = match self.unwritten.get(here) {
            Some(chunk) => chunk.slice(skipped_bytes..),
            None if here == self.unwritten.len() => rest(),
            None => return None,
        };
        (!bytes.is_empty()).then_some(Stored::Here(bytes))
    }
}

impl Fetch {
    /// What was read, from the wanted place on.
    ///
    /// # Errors
    ///
    /// The file can't be read, or isn't what was written.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Bytes>> {
        let read = ready!(Pin::new(&mut self.reading).poll(cx)).map_err(io::Error::other)?;
        Poll::Ready(read.map(|chunk| chunk.slice(self.skipped_bytes..)))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::super::room::Room;
    use super::*;

    fn disk(bytes: u64) -> Arc<Disk> {
        Arc::new(Disk { dir: std::env::temp_dir(), room: Room::new(bytes) })
    }

    fn text(bytes: usize) -> Bytes {
        (0..bytes).map(|at| (at * 7 / 5) as u8).collect()
    }

    /// Until nothing is to be written any more.
    async fn settle(spill: &mut Spill) -> io::Result<()> {
        while !spill.unwritten.is_empty() {
            poll_fn(|cx| match spill.poll_room(cx) {
                Poll::Ready(Ok(())) if !spill.unwritten.is_empty() => Poll::Pending,
                other => other,
            })
            .await?;
        }
        Ok(())
    }

    async fn read(spill: &Spill, mut place: u64) -> Vec<u8> {
        let mut whole = Vec::new();
        while let Some(stored) = spill.at(place) {
            let bytes = match stored {
                Stored::Here(bytes) => bytes,
                Stored::Written(mut fetch) => {
                    poll_fn(|cx| fetch.poll(cx)).await.expect("what was written")
                }
            };
            place += bytes.len() as u64;
            whole.extend_from_slice(&bytes);
        }
        whole
    }

    #[tokio::test]
    async fn what_was_kept_is_read_from_any_place_whether_or_not_it_is_written_yet() {
        let whole = text(3 * CHUNK_BYTES + 77);
        for piece_bytes in [1000, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 5, whole.len()] {
            let mut spill = Spill::new(&disk(1 << 30), 1 << 30);
            for piece in whole.chunks(piece_bytes) {
                assert!(spill.push(Bytes::copy_from_slice(piece)));
                poll_fn(|cx| spill.poll_room(cx)).await.expect("room");
            }
            for place in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 1, whole.len() - 1]
            {
                assert_eq!(
                    read(&spill, place as u64).await,
                    whole[place..],
                    "{piece_bytes} {place}"
                );
            }
            settle(&mut spill).await.expect("room");
            assert_eq!((spill.written, spill.rest.len()), (3, 77));
            assert_eq!(read(&spill, 5).await, whole[5..]);
            assert!(spill.at(whole.len() as u64).is_none());
        }
    }

    #[tokio::test]
    async fn more_than_a_body_may_have_is_refused() {
        let mut spill = Spill::new(&disk(1 << 30), 100);
        assert!(spill.push(text(60)));
        assert!(!spill.push(text(41)));
        assert!(spill.push(text(40)));
    }

    #[tokio::test]
    async fn disk_is_bounded_for_all_bodies_together_and_comes_back() {
        let disk = disk(3 * CHUNK_BYTES as u64);
        let (mut one, mut other) = (Spill::new(&disk, 1 << 30), Spill::new(&disk, 1 << 30));
        one.push(text(2 * CHUNK_BYTES));
        settle(&mut one).await.expect("room");
        other.push(text(2 * CHUNK_BYTES));
        let full = settle(&mut other).await.expect_err("no room");
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(disk.room.free_bytes(), 0);
        drop((one, other));
        assert_eq!(disk.room.free_bytes(), 3 * CHUNK_BYTES as u64);
    }

    #[tokio::test]
    async fn a_directory_that_isnt_there_is_an_error_of_the_first_write() {
        let disk = Arc::new(Disk { dir: "/nowhere/at/all".into(), room: Room::new(1 << 30) });
        let mut spill = Spill::new(&disk, 1 << 30);
        spill.push(text(CHUNK_BYTES));
        settle(&mut spill).await.expect_err("no such directory");
    }
}
