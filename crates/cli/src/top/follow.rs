//! Follows the live stream for as long as somebody listens: connects again, later each time, and goes on behind the last event.

use std::time::Duration;

use super::told::Told;
use crate::admin::live::{Block, Closed, Live};
use crate::admin::{self, Place};
use crate::exit::Failure;

/// Waits between two connections: doubled each time.
const FIRST_WAIT: Duration = Duration::from_millis(250);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What is told.
#[derive(Debug)]
pub(crate) enum Followed {
    Block(Block),
    /// It is gone, and why; it is tried again.
    Lost(String),
}

/// The first connection: one that can't be had is an error, so that a wrong address is noticed.
///
/// # Errors
///
/// Nobody is there, or refuses.
pub(crate) fn open(place: &Place) -> Result<Live, Failure> {
    Live::open(place, None).map_err(|closed| match closed {
        Closed::Broke(error) => admin::unreachable(&format!(
            "the admin address {} can't be asked: {error}",
            place.address
        )),
        Closed::Refused(answer) if matches!(answer.status, 401 | 403) => {
            Failure::usage(admin::refused(place, &answer))
        }
        Closed::Refused(answer) if answer.status == 404 => {
            Failure::of("this Mainstay has no live stream: it is of an earlier version")
        }
        Closed::Refused(answer) => Failure::of(format!(
            "the admin address answered {}: {}",
            answer.status,
            admin::detail(&answer)
        )),
    })
}

/// Tells what comes until `tell` says that nobody listens any more.
pub(crate) fn follow(place: &Place, live: Live, mut tell: impl FnMut(Followed) -> bool) {
    let mut last_id = live.last_id().map(str::to_owned);
    let mut stream = Ok(live);
    let mut wait = FIRST_WAIT;
    loop {
        let why = match stream {
            Ok(mut live) => loop {
                match live.next() {
                    Ok(block) => {
                        wait = FIRST_WAIT;
                        last_id = live.last_id().map(str::to_owned);
                        if !tell(Followed::Block(block)) {
                            return;
                        }
                    }
                    Err(error) => break error.to_string(),
                }
            },
            Err(Closed::Broke(error)) => error.to_string(),
            Err(Closed::Refused(answer)) => admin::refused(place, &answer),
        };
        if !tell(Followed::Lost(why)) {
            return;
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
        stream = Live::open(place, last_id.as_deref());
    }
}

/// What an event says, if it is one that is known; an event that can't be read is told as such.
pub(crate) fn read(block: &Block) -> Result<Option<Told>, String> {
    Told::read(&block.event, &block.data)
        .map_err(|error| format!("an event `{}` isn't understood: {error}", block.event))
}
