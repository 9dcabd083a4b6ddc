//! The outbox: a write that was accepted always arrives, or a person learns why it doesn't.
//!
//! ```text
//!   accept ──▶ one commit, synced ──▶ 202          offer ──▶ a call ──▶ finish ──▶ delivered | again | stopped | dead
//!              (shared by all who wait for one)      ▲                     │
//!                                                    └──── its lane's next ┘
//! ```
//!
//! [`Store`] keeps deliveries: what it has said to have accepted is on the disk. [`Dispatcher`] offers them to
//! whoever makes the calls. What becomes of a delivery after a call is decided in [`mainstay_core::outbox`], and nowhere here.
//!
//! - **Order**: deliveries with the same lane of the same upstream are offered one at a time, oldest first; all others side by side.
//!   Of a lane only its first open delivery is `ready`, and only ready ones are in the index that offers are read from, so that
//!   choosing the next is a step down a tree however long the backlog is, and nothing of it is kept in memory.
//! - **Content** (heads, bodies, answers) is sealed with AES-256-GCM if there is a key, and has a checksum if there isn't; it is read only
//!   when it is needed. What is listed isn't sealed: upstream, route, lane, key, times.
//! - **Damage**: each row has a checksum; a delivery that fails it is stopped and shown, never sent. The number of commits is kept
//!   outside of the database too, so that a file that lost some of them is refused instead of quietly believed.
//!
//! What it doesn't do: HTTP, routes, policy.

mod callback;
mod delivery;
mod dispatch;
mod head;
mod id;
mod seal;
mod shown;
mod sign;
pub mod store;

pub use callback::{Callback, INCOMPLETE, WEBHOOK_ID};
pub use delivery::{
    AnswerPart, CallNote, Detail, Finish, NewDelivery, Offer, RequestPart, State, Summary,
};
pub use dispatch::{Deliver, Delivered, Dispatcher, Dispatching};
pub use head::{Field, HeadError, StoredHead, is_secret};
pub use id::{DeliveryId, NoDeliveryId};
pub use seal::{KeyError, Keys, SealError, fingerprint};
pub use sign::{Secrets, SecretsError, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
pub use store::{Filter, Limits, Page, Store, StoreError, Totals};
