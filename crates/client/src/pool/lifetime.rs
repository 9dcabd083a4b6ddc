//! How long a connection is used, by its age and by what it has carried.

use mainstay_config::settings::PoolSettings;
use mainstay_core::{Chance, Timestamp};

/// Until when a connection is used. Drawn for each, so that those which were opened together don't end together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lifetime {
    /// When it is too old for another request.
    pub(super) expires_at: Timestamp,
    /// How many requests it may carry.
    requests: u64,
    /// How often its endpoint's addresses had changed when it was established.
    pub(super) changes: u64,
}

impl Lifetime {
    /// That of a connection which is established at `now`, after so many changes of its endpoint's addresses.
    pub(super) fn of(
        pool: &PoolSettings,
        changes: u64,
        now: Timestamp,
        chance: &mut Chance,
    ) -> Self {
        let jitter = chance.up_to(pool.max_age / JITTER_PART);
        let requests = pool.max_requests.map_or(u64::MAX, |most| {
            let most = u64::from(most);
            most - chance.below(most / u64::from(JITTER_PART) + 1)
        });
        Self { expires_at: now + (pool.max_age - jitter), requests, changes }
    }

    /// Whether one that has carried so many requests takes another at `now`.
    pub(super) fn allows(&self, now: Timestamp, carried: u64) -> bool {
        now < self.expires_at && carried < self.requests
    }
}

/// The part of the greatest age, and of the most requests, by which connections differ at most: a tenth.
const JITTER_PART: u32 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn age_and_requests_end_it_each_by_itself_within_a_tenth() {
        let pool = PoolSettings {
            max_age: Duration::from_secs(100),
            max_requests: Some(1000),
            ..PoolSettings::default()
        };
        let mut chance = Chance::from_seed(3);
        let now = Timestamp::from_millis(5);
        let drawn: Vec<_> = (0..100).map(|_| Lifetime::of(&pool, 0, now, &mut chance)).collect();
        for one in &drawn {
            let (early, late) = (Duration::from_secs(90), Duration::from_secs(100));
            assert!(one.expires_at >= now + early && one.expires_at <= now + late);
            assert!((900..=1000).contains(&one.requests));
            assert!(one.allows(now, one.requests - 1) && !one.allows(now, one.requests));
            assert!(!one.allows(one.expires_at, 0));
        }
        assert!(drawn.iter().any(|one| *one != drawn[0]), "all end together");
    }

    #[test]
    fn one_request_is_carried_even_where_only_one_may_be() {
        let pool = PoolSettings { max_requests: Some(1), ..PoolSettings::default() };
        let one = Lifetime::of(&pool, 0, Timestamp::ZERO, &mut Chance::from_seed(1));
        assert!(one.allows(Timestamp::ZERO, 0) && !one.allows(Timestamp::ZERO, 1));
    }
}
