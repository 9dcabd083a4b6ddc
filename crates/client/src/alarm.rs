//! Alarms: timers that are used again, since nearly none ever goes off.
//!
//! Each attempt has a deadline, and nearly each is over long before it. To arm a timer and to take it back costs more
//! than all of the engine's decisions for the call. So an alarm that wasn't needed is kept armed, and lent to a later attempt
//! whose deadline is later still; it goes off early there, once in a timeout's length, and is then set to where it should be.

//!
//! A timer belongs to the runtime that armed it, and a spare one is lent on that runtime only. One that is left when its runtime has ended goes with the
//! thread, or with the first alarm of another runtime there.

use std::cell::RefCell;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep, sleep_until};

type Timer = Pin<Box<Sleep>>;

/// What a thread keeps: timers of one runtime.
struct Spare {
    of: Option<Id>,
    timers: Vec<Timer>,
}

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare { of: None, timers: Vec::new() }) };
}

/// Spare timers that a thread keeps. As many as it has attempts under way at a time, in reason.
const SPARE_LIMIT: usize = 1024;

/// A timer for one attempt.
#[derive(Debug)]
pub(crate) struct Alarm {
    sleep: Option<Timer>,
    at: Instant,
    /// The runtime that it belongs to; `None` where a thread has one in its whole life.
    of: Option<Id>,
}

impl Alarm {
    /// Goes off at `at`. Where the thread runs one runtime in its whole life (`one_runtime`), nobody has to ask which.
    pub(crate) fn at(at: Instant, one_runtime: bool) -> Self {
        let of = if one_runtime { None } else { Handle::try_current().ok().map(|it| it.id()) };
        let sleep = match spare(of) {
            Some(sleep) if sleep.deadline() <= at => sleep,
            Some(mut sleep) => {
                sleep.as_mut().reset(at);
                sleep
            }
            None => Box::pin(sleep_until(at)),
        };
        Self { sleep: Some(sleep), at, of }
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
        let Some(sleep) = self.sleep.take().filter(|sleep| !sleep.is_elapsed()) else { return };
        let mut kept = Some(sleep);
        // A thread that is about to end keeps nothing. What isn't kept is dropped out here: it may wake somebody, who may have alarms.
        let _ = SPARE.try_with(|spare| {
            if let Ok(mut spare) = spare.try_borrow_mut()
                && spare.of == self.of
                && spare.timers.len() < SPARE_LIMIT
            {
                spare.timers.extend(kept.take());
            }
        });
    }
}

/// A timer that was kept of this runtime. Those of another one go.
fn spare(of: Option<Id>) -> Option<Timer> {
    let taken = SPARE.try_with(|spare| {
        let mut spare = spare.try_borrow_mut().ok()?;
        if spare.of == of {
            return Some((spare.timers.pop(), Vec::new()));
        }
        spare.of = of;
        Some((None, std::mem::take(&mut spare.timers)))
    });
    let (timer, others) = taken.ok().flatten()?;
    drop(others);
    timer
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

    #[test]
    fn a_spare_timer_is_lent_on_its_own_runtime_only() {
        let runtime = || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            runtime.enable_time().start_paused(true).build().unwrap()
        };
        let length = Duration::from_secs(10);
        let first = runtime();
        let kept = |first: &tokio::runtime::Runtime| {
            first.block_on(async {
                let alarm = Alarm::at(Instant::now() + length, false);
                let place = alarm.sleep.as_ref().map(|sleep| std::ptr::from_ref(&**sleep));
                drop(alarm);
                place
            })
        };
        assert_eq!(kept(&first), kept(&first));
        drop(first);
        // Nothing of the runtime that has ended is met on another one.
        let waited = runtime().block_on(async {
            let begun = Instant::now();
            let mut alarm = Alarm::at(begun + length, false);
            poll_fn(|cx| alarm.poll(cx)).await;
            begun.elapsed()
        });
        assert_eq!(waited, length);
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
