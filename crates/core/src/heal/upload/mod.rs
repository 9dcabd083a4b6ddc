//! Healing uploads: a request whose body broke off goes on from where the server has it, by the IETF's resumable uploads
//! (draft-ietf-httpbis-resumable-upload) or by tus 1.0, the deployed ancestor.
//!
//! ```text
//!             IETF: the application's own request      tus: creation, without content
//!                        │ 104 with a Location            │ 201 with a Location
//!    first ──▶ sending ──┴─────────────▶ sending ◀────────┴──┐
//!                │ break                    │ break, 409, 5xx │
//!                └─────────▶ HEAD: the offset ──▶ PATCH: the rest ──▶ the answer of the call
//! ```
//!
//! An [`Upload`] holds where the upload resource is, how much of the body was sent and how much the server has said to have.
//! What it is told it holds against what it knows, before one more byte is sent:
//!
//! - the offset **never goes down**. What a server said to have it must keep; one that lost some of it has lost more, perhaps;
//! - it is **never beyond what was sent**: then it speaks of another upload;
//! - the length, where it is told, is **that of the body**;
//! - what is **complete** is never continued. By the IETF's draft its answer is lost, then, and that is told;
//! - the resource is **where the request went**: a `Location` on another host isn't followed, since the application's
//!   credentials go along.
//!
//! What it doesn't do: decide whether, when and how often to ask; or keep the body. An upload that isn't continued is for the
//! table of retry safety, as any other that broke: no [`Fault`] proves that nothing was done.
//!
//! ```
//! use mainstay_core::heal::upload::{Origin, Protocol, Step, Upload};
//!
//! let draft = Protocol::Ietf { interop_version: 8 };
//! let origin = Origin { scheme: "https".into(), authority: "api.example".into() };
//! let mut upload = Upload::of(draft, origin, "PUT", Some(100), core::iter::empty())?;
//! let version: (&str, &[u8]) = ("upload-draft-interop-version", b"8");
//!
//! upload.on_offer([version, ("location", b"/uploads/1")].into_iter());    // a 104
//! upload.on_sent(70);
//! assert_eq!(upload.on_break()?, Step::AskOffset);                        // HEAD /uploads/1
//! let told: [(&str, &[u8]); 2] = [("upload-offset", b"64"), ("upload-complete", b"?0")];
//! assert_eq!(upload.on_offset(204, told.into_iter())?, Step::Append { from: 64 });
//! upload.on_sent(100);
//! assert_eq!(upload.on_answer(201, core::iter::empty())?, Step::Deliver);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod fault;
mod protocol;
mod resource;
mod said;
mod settings;
mod state;

pub use fault::{Fault, Unsuitable};
pub use protocol::Protocol;
pub use resource::Origin;
pub use settings::UploadSettings;
pub use state::{Step, Upload};
