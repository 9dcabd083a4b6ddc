//! Single calls: the records of those that broke.
//!
//! While a call runs its events are kept as they come ([`crate::CallTrace`]). A broken call's are kept on when it is
//! over ([`kept`]), the last thousand of them ([`recent`]), and made into a readable [`CallRecord`] when somebody asks.

pub(crate) mod facts;
mod filter;
pub(crate) mod kept;
pub(crate) mod live;
pub(crate) mod recent;
mod record;
mod request;

pub use facts::{AttemptFacts, Circumstances, ConnectionFacts, Step, StepName, StepOutcome};
pub use filter::{CallFilter, CallOutcome, WrongFilter};
pub use live::{BreakRow, CALLS_PER_SECOND, CallRow};
pub use record::{
    AttemptRecord, CallRecord, CircumstancesRecord, ConnectionRecord, HoldRecord, NoteRecord,
    StepRecord, TunnelRecord,
};
pub use request::{Origin, RequestFacts};
