//! Where the bodies of all calls of a process are kept: memory, and disk where that is allowed.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::room::{Room, Share};
use super::spill;

/// Room for bodies that may have to be sent again. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) memory: Arc<Room>,
    pub(super) disk: Option<Arc<Disk>>,
}

/// A directory for the parts of bodies that memory has no room for.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) dir: PathBuf,
    pub(super) room: Arc<Room>,
}

/// Memory for one body that is read before it is sent, out of what all calls of a process may keep together. It is given back when this
/// is dropped.
#[derive(Debug)]
pub struct BodyRoom(Share);

impl BodyRoom {
    /// Takes `bytes` more; false, and nothing taken, when they aren't there.
    #[must_use]
    pub fn take(&mut self, bytes: usize) -> bool {
        self.0.take(bytes as u64)
    }
}

impl Store {
    /// So many bytes of memory for all calls together, and no disk.
    #[must_use]
    pub fn new(memory_bytes: usize) -> Self {
        Self { memory: Room::new(memory_bytes as u64), disk: None }
    }

    /// The same with so many bytes of disk in `dir`. What files take beside the bodies, 16 bytes for each 64 KiB, isn't
    /// counted.
    #[must_use]
    pub fn with_disk(self, dir: PathBuf, bytes: u64) -> Self {
        Self { disk: Some(Arc::new(Disk { dir, room: Room::new(bytes) })), ..self }
    }

    /// Room in memory for a body that is read before it is sent.
    #[must_use]
    pub fn body_room(&self) -> BodyRoom {
        BodyRoom(self.memory.share())
    }

    /// Whether a file can be made in the directory now; `Ok` without one. It blocks for a moment.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn try_disk(&self) -> io::Result<()> {
        self.disk.as_ref().map_or(Ok(()), |disk| spill::try_dir(&disk.dir))
    }
}
