//! Alarms: timers that are used again, since nearly none ever goes off.
//!
//! Each attempt has a deadline, and nearly each is over long before it. To arm a timer and to take it back costs more
//! than all of the engine's decisions for the call. So an alarm that wasn't needed is kept armed, and lent to a later attempt
//! whose deadline is later still; it goes off early there, once in a timeout's length, and is then set to where it should be.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::{Instant, Sleep, sleep_until};

thread_local! {
    static SPARE: RefCell<Vec<Pin<Box<Sleep>>>> = const { RefCell::new(Vec::new()) };
}

/// Spare timers that a thread keeps. As many as it has attempts under way at a time, in reason.
const SPARE_LIMIT: usize = 1024;

/// A timer for one attempt.
#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    at: Instant,
    reuse: bool,
}

impl Alarm {
    /// Goes off at `at`. With `reuse`, the thread must never run another runtime than this one: a timer belongs to
    /// the runtime that armed it.
    pub(crate) fn at(at: Instant, reuse: bool) -> Self {
        let spare = if reuse { SPARE.with_borrow_mut(Vec::pop) } else { None };
        let sleep = match spare {
            Some(sleep) if sleep.deadline() <= at => sleep,
            Some(mut sleep) => {
                sleep.as_mut().reset(at);
                sleep
            }
            None => Box::pin(sleep_until(at)),
        };
        Self { sleep: Some(sleep), at, reuse }
    }

    /// Ready when it is time.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sleep) = &mut self.sleep else { return Poll::Ready(()) };
        loop {
            ready!(sleep.as_mut().poll(cx));
            if sleep.deadline() >= self.at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(self.at);
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some(sleep) = self.sleep.take().filter(|sleep| self.reuse && !sleep.is_elapsed()) {
            SPARE.with_borrow_mut(|spare| {
                if spare.len() < SPARE_LIMIT {
                    spare.push(sleep);
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Duration;

    async fn goes_off_after(length: Duration) -> Duration {
        let begun = Instant::now();
        let mut alarm = Alarm::at(begun + length, true);
        poll_fn(|cx| alarm.poll(cx)).await;
        begun.elapsed()
    }

    async fn is_dropped_with(length: Duration) {
        let mut alarm = Alarm::at(Instant::now() + length, true);
        poll_fn(|cx| {
            assert!(alarm.poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_was_armed_for_an_earlier_time_goes_off_at_its_own() {
        is_dropped_with(Duration::from_secs(1)).await;
        assert_eq!(goes_off_after(Duration::from_secs(10)).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_was_armed_for_a_later_time_goes_off_at_its_own() {
        is_dropped_with(Duration::from_secs(100)).await;
        assert_eq!(goes_off_after(Duration::from_secs(10)).await, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_whose_time_passed_while_it_was_spare_is_no_harm() {
        is_dropped_with(Duration::from_secs(1)).await;
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(goes_off_after(Duration::from_secs(10)).await, Duration::from_secs(10));
    }
}
