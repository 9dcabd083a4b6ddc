//! Decisions while a connection is established: which addresses to use, and in which order to try them.
//!
//! [`Names`] turns answers and failures of name servers into "use these", "look up again" and "there is nothing";
//! [`History`] remembers for a while which addresses were no good. Both take their time as an argument and know no socket.

mod history;
mod names;

pub use history::{History, Run, RunEnd};
pub use names::{Change, Denied, Failure, Names, NamesSettings, Next};
