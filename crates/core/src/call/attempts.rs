//! How often, and with what wait between.

use core::time::Duration;

use crate::chance::Chance;
use crate::event::AttemptId;
use crate::retry::{BackoffSettings, RetrySettings, backoff};

/// Counts the attempts of a call and spaces them.
#[derive(Clone, Debug, Default)]
pub struct Attempts {
    made: u16,
    free: u8,
    /// How many were made before there was progress: before the answer, or before more of its body.
    settled: u16,
    last_wait: Duration,
}

impl Attempts {
    /// Most repeats of a request that was never sent, all endpoints together. They cost their peers nothing but
    /// a connect, but a list of a thousand dead addresses must not be walked by each call.
    pub const FREE_LIMIT: u8 = 16;

    /// The number of the attempt that starts now.
    pub fn start(&mut self) -> AttemptId {
        self.made = self.made.saturating_add(1);
        AttemptId(self.made)
    }

    /// Attempts made so far, free ones included.
    #[must_use]
    pub const fn made(&self) -> u16 {
        self.made
    }

    /// Repeats so far of what was never sent.
    #[must_use]
    pub const fn repeats(&self) -> u8 {
        self.free
    }

    /// Attempts made since there was progress that the policy counts: all but repeats of what was never sent.
    #[must_use]
    pub const fn counted(&self) -> u8 {
        let counted = (self.made - self.settled).saturating_sub(self.free as u16);
        if counted > u8::MAX as u16 { u8::MAX } else { counted as u8 }
    }

    /// An answer is on its way to the application, or more of it has come: what breaks from here on is counted anew.
    pub fn on_progress(&mut self) {
        (self.settled, self.free) = (self.made, 0);
        self.last_wait = Duration::ZERO;
    }

    /// Whether one more repeat of a request that was never sent is allowed; counts it.
    pub fn take_free(&mut self) -> bool {
        let allowed = self.free < Self::FREE_LIMIT;
        self.free += u8::from(allowed);
        allowed
    }

    /// Gives a free repeat back that came to nothing.
    pub fn return_free(&mut self) {
        self.free = self.free.saturating_sub(1);
    }

    /// Whether every attempt of the policy was made. Free repeats don't count.
    #[must_use]
    pub const fn used_up(&self, settings: &RetrySettings) -> bool {
        self.counted() >= settings.max_attempts.count()
    }

    /// The wait before the next attempt by our own backoff, or with the base for throttling.
    pub fn wait(
        &mut self,
        settings: &RetrySettings,
        throttled: bool,
        chance: &mut Chance,
    ) -> Duration {
        let retry = self.counted().max(1);
        self.last_wait = if throttled {
            let slower = BackoffSettings {
                base: settings.throttled_base,
                cap: settings.backoff.cap.max(settings.throttled_base),
                ..settings.backoff.clone()
            };
            backoff::wait(&slower, retry, self.last_wait, chance)
        } else {
            backoff::wait(&settings.backoff, retry, self.last_wait, chance)
        };
        self.last_wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_repeats_do_not_use_up_the_attempts() {
        let (settings, mut attempts) = (RetrySettings::default(), Attempts::default());
        attempts.start();
        assert!(attempts.take_free());
        attempts.start();
        assert!(!attempts.used_up(&settings));
        attempts.start();
        attempts.start();
        assert!(attempts.used_up(&settings));
        assert_eq!(attempts.made(), 4);
    }

    #[test]
    fn progress_begins_the_count_anew_but_not_the_numbers() {
        let (settings, mut attempts) = (RetrySettings::default(), Attempts::default());
        for _ in 0..3 {
            attempts.start();
        }
        assert!(attempts.used_up(&settings));
        attempts.on_progress();
        assert_eq!((attempts.counted(), attempts.made()), (0, 3));
        assert_eq!(attempts.start(), AttemptId(4));
        assert_eq!(attempts.counted(), 1);
    }

    #[test]
    fn free_repeats_end() {
        let mut attempts = Attempts::default();
        let taken = (0..100).filter(|_| attempts.take_free()).count();
        assert_eq!(taken, usize::from(Attempts::FREE_LIMIT));
    }
}
