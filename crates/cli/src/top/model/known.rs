//! What was told by the live stream, in bounded memory.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::picture::Picture;
use crate::top::asked::Timeline;
use crate::top::told::{Call, Change, Endpoint, Hello, Incident, Told};

/// Rows of the feed that are kept. A row is a few hundred bytes.
const MOST_CALLS: usize = 2000;

const MOST_CHANGES: usize = 1000;

const MOST_INCIDENTS: usize = 400;

/// Points of the small latency lines: one each ten seconds, ten minutes.
pub(crate) const SPARK_POINTS: usize = 60;
pub(crate) const SPARK_MS: u64 = 10_000;

/// How the stream is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Link {
    /// The first connection isn't there yet.
    #[default]
    Connecting,
    Live,
    /// It is gone since this moment of our clock, in milliseconds.
    Lost {
        since: u64,
        why: String,
    },
}

/// A call of the feed, with its number: the first that came is 0.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) serial: u64,
    pub(crate) call: Call,
}

/// By upstream and endpoint.
type Sparks = HashMap<(String, String), Spark>;

/// The last p99 latencies of an endpoint, the newest last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spark {
    pub(crate) values: VecDeque<Option<f64>>,
    /// Whether what was before the stream began has been asked for.
    has_past: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(crate) link: Link,
    pub(crate) hello: Option<Hello>,
    pub(crate) picture: Option<Picture>,
    /// Newest first.
    pub(crate) feed: VecDeque<Row>,
    /// Rows that came so far.
    pub(crate) rows: u64,
    /// Calls that the address left out of the feed.
    pub(crate) left_out: u64,
    /// Oldest first.
    pub(crate) changes: VecDeque<Change>,
    pub(crate) incidents: BTreeMap<String, Incident>,
    sparks: Sparks,
    sparked_at: u64,
    /// What the address's clock showed at a moment of ours.
    clock: (u64, u64),
    /// Events that were lost or not understood.
    pub(crate) lost: u64,
}

impl Known {
    /// Takes in an event at this moment of our clock.
    ///
    /// # Errors
    ///
    /// It isn't what such an event is.
    pub(crate) fn on_told(&mut self, told: Told, at: u64) -> serde_json::Result<()> {
        match told {
            Told::Hello(hello) => self.on_hello(hello, at),
            Told::State(state) => {
                self.picture.get_or_insert_default().merge(state)?;
                self.on_picture(at);
            }
            Told::Calls(news) => {
                self.left_out += news.left_out;
                for call in news.calls {
                    self.feed.push_front(Row { serial: self.rows, call });
                    self.rows += 1;
                }
                self.feed.truncate(MOST_CALLS);
            }
            Told::Changes(changes) => {
                let last = self.changes.back().map(|change| change.seq);
                let news = changes.into_iter().filter(|one| last.is_none_or(|last| one.seq > last));
                self.changes.extend(news);
                let over = self.changes.len().saturating_sub(MOST_CHANGES);
                self.changes.drain(..over);
            }
            Told::Incidents(incidents) => self.on_incidents(incidents),
            Told::Lost(lost) => self.lost += lost,
        }
        Ok(())
    }

    fn on_hello(&mut self, hello: Hello, at: u64) {
        // Another process: what was told of the old one doesn't belong to it.
        if self.hello.as_ref().is_some_and(|old| old.boot != hello.boot) {
            *self = Self { rows: self.rows, ..Self::default() };
        }
        self.link = Link::Live;
        self.clock = (hello.now_unix_ms, at);
        self.hello = Some(hello);
    }

    fn on_picture(&mut self, at: u64) {
        let Some(picture) = &self.picture else { return };
        if picture.top.says.now_unix_ms > 0 {
            self.clock = (picture.top.says.now_unix_ms, at);
        }
        let now = self.clock.0;
        if now < self.sparked_at + SPARK_MS {
            return;
        }
        self.sparked_at = now;
        let mut before = std::mem::take(&mut self.sparks);
        for upstream in &picture.upstreams {
            for endpoint in &upstream.endpoints {
                let key = (upstream.name().to_owned(), endpoint.says.name.clone());
                let mut spark = before.remove(&key).unwrap_or_default();
                if spark.values.len() == SPARK_POINTS {
                    spark.values.pop_front();
                }
                spark.values.push_back(endpoint.says.latency.p99_ms);
                self.sparks.insert(key, spark);
            }
        }
    }

    fn on_incidents(&mut self, incidents: Vec<Incident>) {
        for incident in incidents {
            self.incidents.insert(incident.id.clone(), incident);
        }
        while self.incidents.len() > MOST_INCIDENTS {
            let ended = self.incidents.values().filter(|one| !one.is_open());
            let oldest = ended.min_by_key(|one| one.began_unix_ms);
            // If all of them are open, the oldest goes all the same.
            let oldest =
                oldest.or_else(|| self.incidents.values().min_by_key(|one| one.began_unix_ms));
            let Some(id) = oldest.map(|one| one.id.clone()) else { return };
            self.incidents.remove(&id);
        }
    }

    /// What was before the stream began: the address remembers it.
    pub(crate) fn on_past(&mut self, past: &Timeline) {
        for upstream in &past.upstreams {
            for endpoint in upstream.endpoints.iter().flatten() {
                let key = (upstream.name.clone(), endpoint.name.clone());
                let spark = self.sparks.get_mut(&key).filter(|spark| !spark.has_past);
                let Some(spark) = spark else { continue };
                spark.has_past = true;
                let room = SPARK_POINTS.saturating_sub(spark.values.len());
                // The last bucket isn't over; what was told meanwhile stands for it.
                let past = endpoint.p99_ms.iter().rev().skip(1).take(room);
                past.for_each(|value| spark.values.push_front(*value));
            }
        }
    }

    /// The time at the address, in milliseconds since 1970, at this moment of ours.
    pub(crate) const fn now(&self, at: u64) -> u64 {
        self.clock.0 + at.saturating_sub(self.clock.1)
    }

    pub(crate) fn spark(&self, upstream: &str, endpoint: &str) -> Option<&Spark> {
        self.sparks.get(&(upstream.to_owned(), endpoint.to_owned()))
    }

    /// Open ones first, each of them newest first.
    pub(crate) fn incidents(&self) -> Vec<&Incident> {
        let mut all: Vec<_> = self.incidents.values().collect();
        all.sort_by_key(|one| {
            (!one.is_open(), std::cmp::Reverse(one.began_unix_ms), std::cmp::Reverse(&one.id))
        });
        all
    }

    pub(crate) fn endpoint(&self, upstream: &str, endpoint: &str) -> Option<&Endpoint> {
        self.picture.as_ref()?.endpoint(upstream, endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::told::Calls;

    fn calls(from: u64, to: u64) -> Told {
        let call = |number: u64| Call { id: number.to_string(), ..Call::default() };
        Told::Calls(Calls { left_out: 1, calls: (from..to).map(call).collect() })
    }

    #[test]
    fn the_feed_is_bounded_and_newest_first() {
        let mut known = Known::default();
        known.on_told(calls(0, 3), 0).expect("taken");
        assert_eq!(known.feed.iter().map(|row| &*row.call.id).collect::<Vec<_>>(), ["2", "1", "0"]);
        known.on_told(calls(3, 5000), 0).expect("taken");
        assert_eq!((known.feed.len(), known.rows, known.left_out), (MOST_CALLS, 5000, 2));
    }

    #[test]
    fn changes_that_come_again_are_known_and_another_process_begins_anew() {
        let mut known = Known::default();
        let hello = |boot: &str| Told::Hello(Hello { boot: boot.into(), ..Hello::default() });
        let change = |seq| Change { seq, ..Change::default() };
        known.on_told(hello("x"), 0).expect("taken");
        known.on_told(Told::Changes(vec![change(1), change(2)]), 0).expect("taken");
        known.on_told(Told::Changes(vec![change(2), change(3)]), 0).expect("taken");
        assert_eq!(known.changes.iter().map(|one| one.seq).collect::<Vec<_>>(), [1, 2, 3]);
        known.on_told(hello("y"), 0).expect("taken");
        assert!(known.changes.is_empty());
    }

    #[test]
    fn open_incidents_are_kept_before_ended_ones() {
        let mut known = Known::default();
        let incident = |number: u64, state: &str| Incident {
            id: format!("i{number}"),
            state: state.into(),
            began_unix_ms: number,
            ..Incident::default()
        };
        known.on_told(Told::Incidents(vec![incident(0, "open")]), 0).expect("taken");
        let many = (1..500).map(|number| incident(number, "ended")).collect();
        known.on_told(Told::Incidents(many), 0).expect("taken");
        assert_eq!(known.incidents.len(), MOST_INCIDENTS);
        assert_eq!(known.incidents()[0].id, "i0");
        assert_eq!(known.incidents()[1].id, "i499");
    }

    #[test]
    fn the_clock_goes_on_between_two_states() {
        let mut known = Known::default();
        let hello = Hello { now_unix_ms: 1_000_000, ..Hello::default() };
        known.on_told(Told::Hello(hello), 50).expect("taken");
        assert_eq!((known.now(50), known.now(1550)), (1_000_000, 1_001_500));
    }
}
