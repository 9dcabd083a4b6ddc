//! What the line's order is good for: more calls than the endpoint can answer, which the callers wait for a second each.

use std::time::Duration;

use mainstay_core::Timestamp;
use mainstay_core::line::{Entry, Line, LineSettings, Priority, Turn};

/// Waits of those let in, in milliseconds, in the order in which they were let in.
fn waits(settings: LineSettings, seconds: u64) -> Vec<u128> {
    let mut line = Line::new(settings);
    let mut waits = Vec::new();
    for millis in 0..seconds * 1_000 {
        let now = Timestamp::from_millis(millis);
        // Two calls each 10 ms, and room for one.
        if millis % 5 == 0 {
            let entry = Entry {
                priority: Priority::NORMAL,
                give_up_at: now + Duration::from_secs(1),
                needs: Duration::from_millis(100),
            };
            let _ = line.enter(entry, now);
        }
        if millis % 10 == 9 {
            let let_in = std::iter::from_fn(|| line.next(now)).find_map(|turn| match turn {
                Turn::LetIn(ticket) => Some(ticket),
                Turn::Drop(_) => None,
            });
            waits.extend(let_in.map(|ticket| ticket.waited(now).as_millis()));
        }
    }
    waits
}

fn median(mut waits: Vec<u128>) -> u128 {
    waits.sort_unstable();
    waits[waits.len() / 2]
}

#[test]
fn under_lasting_overload_most_are_let_in_almost_at_once_and_no_room_is_left_unused() {
    let waits = waits(LineSettings { length: 100, ..LineSettings::default() }, 60);
    assert_eq!(waits.len(), 6_000, "one each 10 ms");
    assert!(waits.iter().all(|wait| *wait <= 900), "nobody is let in too late");
    assert!(median(waits) < 15);
}

#[test]
fn in_their_right_order_all_would_wait_until_it_is_nearly_too_late() {
    let never = Duration::from_secs(3_600);
    let waits = waits(LineSettings { length: 100, interval: never, ..LineSettings::default() }, 60);
    assert_eq!(waits.len(), 6_000);
    assert!(median(waits) > 800);
}
