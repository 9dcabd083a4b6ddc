//! Healing downloads: a broken, truncated or stalled answer to a GET goes on where it broke, by `Range` and `If-Range` (RFC 9110,
//! sections 13.1.5 and 14), on the same endpoint or on another one that has the same.
//!
//! ```text
//!   head delivered ─▶ Download::of ─▶ Unhealable: a break stays a break
//!                        │
//!            ┌──────▶ take: which bytes of a piece are new ─▶ the application
//!            │           │ break, stall          │ end
//!            │          ask                    on_end ─▶ complete | ask for more | broken
//!            │           │ request
//!            └── Ok ── judge ─▶ Mismatch: the answer can't be continued by this one; loud
//! ```
//!
//! A [`Download`] holds what identifies the representation, how much of it was delivered and the last few hundred bytes of
//! that. Nothing of another answer is delivered unless all of this holds:
//!
//! - it carries the **same strong validator**: an `ETag` that isn't weak, or a field that the route declares to be as good
//!   ([`RangeSettings::as_good_as_tag`]), since some object stores send no `ETag` with media;
//! - it has the **same coding**. A server may leave `Content-Encoding` out of a 206 (RFC 9110, section 15.3.7); of a coded
//!   representation it is then refused all the same, for there are servers that give a file and its compressed form one
//!   `ETag`. What a declared field identifies is the stored object, so that it counts for uncoded answers only;
//! - it **begins where it was asked to**, ends where it may, and tells the same total length as all answers before;
//! - its first [`OVERLAP`] bytes are **the last that were delivered**, byte for byte.
//!
//! A 200 in place of a 206 is read from its beginning and skipped, under the same conditions and only so far. A 416 is the end
//! if its total is what there is already. A part that is shorter than asked is delivered, and the rest is asked for again.
//! What the application asked for itself, by its own `Range`, bounds all of it: positions are those of the head that it got.
//!
//! **Trailers.** An answer that announces trailers isn't healed: those of another message aren't its own, and to lose them
//! may be to lose a checksum. Trailers of a resumed answer are to be dropped (RFC 9110, section 6.5.1, allows it).
//!
//! What it doesn't do: decide whether and where to ask again, or for how long. Breaks that a status tells (5xx, 429, 408) are the
//! ordinary retry's. And it can't see a server that lies consistently: other bytes under the same validator, at the right
//! place, are found in the overlap and nowhere else.

mod ask;
mod content_range;
mod download;
mod given;
mod mismatch;
mod representation;
mod seam;
mod tail;
mod unhealable;
mod validator;

pub use ask::{Ask, Asked, REPLACED};
pub use download::{Download, End, Splice};
pub use mismatch::Mismatch;
pub use tail::OVERLAP;
pub use unhealable::Unhealable;

use alloc::string::String;
use alloc::vec::Vec;

/// What a route says about healing its downloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeSettings {
    /// Fields that identify a representation as well as a strong `ETag` does, on all endpoints alike: a generation, a version,
    /// a digest of the whole (`Repr-Digest`, never `Content-Digest`, which is that of a part). In lower case, the first that an
    /// answer has counts, and only where it has no strong `ETag`. Default none.
    pub as_good_as_tag: Vec<String>,
    /// How many bytes may be read once more and thrown away when a server answers with the whole instead of a part. Default
    /// 16 MiB: a second at 130 Mbit/s. Beyond that the download costs more than somebody who may have stopped caring
    /// should spend unasked.
    pub skip_limit_bytes: u64,
}

impl Default for RangeSettings {
    fn default() -> Self {
        Self { as_good_as_tag: Vec::new(), skip_limit_bytes: 16 << 20 }
    }
}
