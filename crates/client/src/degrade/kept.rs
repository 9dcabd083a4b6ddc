//! The store: answers that were good, within a bound of bytes and of entries, the least recently used out first.
//!
//! Three quarters of the bytes are for what is kept, a quarter for bodies that are still arriving, so that together they never take
//! more than was allowed. It is looked at when a call has failed, and when an answer of a route that keeps some is over: a lock is
//! good enough.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use mainstay_config::settings::STALE_ARRIVING_SHARE;
use mainstay_core::Timestamp;
use mainstay_core::degrade::{Asked, Lifetime};
use mainstay_core::event::DegradedBy;
use parking_lot::Mutex;

use super::target::Varied;
use super::{StandIn, Target};

/// Answers that may stand in for others. One for a process.
pub struct Kept {
    bytes_total: usize,
    arriving: AtomicUsize,
    entries: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    by_target: HashMap<Target, Vec<Entry>>,
    /// When each entry was last used, in steps of the counter, and where it is.
    by_use: BTreeMap<u64, Target>,
    uses: u64,
    bytes: usize,
}

/// An answer that is kept.
struct Entry {
    used: u64,
    answer: NewEntry,
    body: Bytes,
    bytes: usize,
}

/// What is known of an answer before its body.
pub(super) struct NewEntry {
    pub(super) route: Arc<str>,
    pub(super) varied: Varied,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) lifetime: Lifetime,
    pub(super) arrived_at: Timestamp,
}

impl Kept {
    /// Room for so many bytes.
    #[must_use]
    pub fn new(bytes_total: usize) -> Arc<Self> {
        let (arriving, entries, inner) = Default::default();
        Arc::new(Self { bytes_total, arriving, entries, inner })
    }

    /// The bytes that it may take.
    #[must_use]
    pub const fn bytes_total(&self) -> usize {
        self.bytes_total
    }

    /// The bytes that it takes: what is kept, with its keys and fields, and what is arriving.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.inner.lock().bytes + self.arriving.load(Ordering::Relaxed)
    }

    /// How many answers are kept.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// The answer that may be given to a request now.
    pub(crate) fn find(
        &self,
        target: &Target,
        route: &str,
        head: &Parts,
        asked: &Asked,
        now: Timestamp,
    ) -> Option<StandIn> {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let entries = inner.by_target.get_mut(target)?;
        let found = entries.iter_mut().find(|entry| entry.is_for(route, &head.headers))?;
        let age = found.answer.lifetime.age(now.since(found.answer.arrived_at), asked)?;
        inner.uses += 1;
        inner.by_use.remove(&found.used);
        found.used = inner.uses;
        inner.by_use.insert(found.used, target.clone());
        let mut headers = found.answer.headers.clone();
        headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
        let has_body = head.method != Method::HEAD;
        Some(StandIn {
            by: DegradedBy::Stale,
            age: Some(age),
            status: found.answer.status,
            headers,
            body: if has_body { found.body.clone() } else { Bytes::new() },
        })
    }

    /// Keeps an answer in place of the one that was kept for the same request.
    pub(super) fn keep(&self, target: Target, request: &HeaderMap, answer: NewEntry, body: Bytes) {
        let bytes = cost(&target, &answer, &body);
        let limit = self.bytes_total - self.bytes_total / STALE_ARRIVING_SHARE;
        let mut inner = self.inner.lock();
        inner.remove(&target, |entry| entry.is_for(&answer.route, request));
        if bytes <= limit {
            inner.make_room(&target, bytes, limit);
            inner.insert(target, Entry { used: 0, answer, body, bytes });
        }
        self.entries.store(inner.by_use.len(), Ordering::Relaxed);
    }

    /// Forgets what a request of this route would be given: the upstream has said something newer.
    pub(crate) fn forget(&self, target: &Target, route: &str, request: &HeaderMap) {
        self.remove(target, |entry| entry.is_for(route, request));
    }

    /// Forgets everything about a target that was changed, whatever the route.
    pub(crate) fn forget_all(&self, target: &Target) {
        self.remove(target, |_| true);
    }

    fn remove(&self, target: &Target, which: impl Fn(&Entry) -> bool) {
        let mut inner = self.inner.lock();
        inner.remove(target, which);
        self.entries.store(inner.by_use.len(), Ordering::Relaxed);
    }

    /// Takes so many bytes more for bodies that are arriving; false when they aren't there.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let limit = self.bytes_total / STALE_ARRIVING_SHARE;
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= limit);
        self.arriving.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.arriving.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// How long ago the entries of a target arrived, for tests.
    #[cfg(test)]
    fn ages(&self, target: &Target, now: Timestamp) -> Vec<std::time::Duration> {
        let inner = self.inner.lock();
        let entries = inner.by_target.get(target).into_iter().flatten();
        entries.map(|entry| now.since(entry.answer.arrived_at)).collect()
    }
}

impl Inner {
    fn remove(&mut self, target: &Target, which: impl Fn(&Entry) -> bool) {
        let Some(entries) = self.by_target.get_mut(target) else { return };
        entries.retain(|entry| {
            let goes = which(entry);
            if goes {
                self.by_use.remove(&entry.used);
                self.bytes -= entry.bytes;
            }
            !goes
        });
        if entries.is_empty() {
            self.by_target.remove(target);
        }
    }

    /// Removes the least recently used until there is room for one more of so many bytes.
    fn make_room(&mut self, target: &Target, bytes: usize, limit: usize) {
        let variants = self.by_target.get(target).map_or(&[][..], Vec::as_slice);
        if variants.len() >= MOST_VARIANTS {
            let oldest = variants.iter().map(|entry| entry.used).min();
            self.remove(target, |entry| Some(entry.used) == oldest);
        }
        while self.bytes + bytes > limit || self.by_use.len() >= MOST_ENTRIES {
            let Some((used, target)) = self.by_use.pop_first() else { return };
            self.remove(&target, |entry| entry.used == used);
        }
    }

    fn insert(&mut self, target: Target, entry: Entry) {
        self.uses += 1;
        self.bytes += entry.bytes;
        self.by_use.insert(self.uses, target.clone());
        self.by_target.entry(target).or_default().push(Entry { used: self.uses, ..entry });
    }
}

impl Entry {
    fn is_for(&self, route: &str, request: &HeaderMap) -> bool {
        &*self.answer.route == route && self.answer.varied.fits(request)
    }
}

/// Without what was asked and answered.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("bytes_total", &self.bytes_total)
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

/// What an entry takes, more or less: its parts, and what surrounds them.
fn cost(target: &Target, answer: &NewEntry, body: &Bytes) -> usize {
    let fields =
        |(name, value): (&http::HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 80;
    let head: usize = answer.headers.iter().map(fields).sum();
    body.len() + head + answer.varied.bytes() + 2 * target.len() + 512
}

/// Answers of one target that differ by what `Vary` names: a resource that has more is one per user.
const MOST_VARIANTS: usize = 16;

/// So that tiny answers don't make the index large.
const MOST_ENTRIES: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use http::Request;
    use mainstay_core::degrade::{Given, StaleSettings, keep};

    const SECOND: Duration = Duration::from_secs(1);

    fn request(path: &str, fields: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(path).header("host", "a.test");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_nanos(seconds * 1_000_000_000)
    }

    fn put(kept: &Kept, head: &Parts, vary: &str, body: &str, now: u64) {
        let mut headers = HeaderMap::new();
        if !vary.is_empty() {
            headers.insert("vary", HeaderValue::from_str(vary).unwrap());
        }
        let if_error = Some(60 * SECOND);
        let settings = StaleSettings { if_error, private: true, ..StaleSettings::default() };
        let given = Given::of(200, std::iter::empty(), 0, Duration::ZERO);
        let answer = NewEntry {
            route: "all".into(),
            varied: Varied::of(&headers, &head.headers).unwrap(),
            status: StatusCode::OK,
            headers,
            lifetime: keep(&super::super::asked(head), &given, &settings).unwrap(),
            arrived_at: at(now),
        };
        kept.keep(
            Target::of("api", head),
            &head.headers,
            answer,
            Bytes::copy_from_slice(body.as_bytes()),
        );
    }

    fn got(kept: &Kept, head: &Parts, now: u64) -> Option<String> {
        let asked = super::super::asked(head);
        let found = kept.find(&Target::of("api", head), "all", head, &asked, at(now))?;
        assert_eq!(found.headers["age"], found.age.unwrap().as_secs().to_string());
        Some(String::from_utf8(found.body.to_vec()).unwrap())
    }

    #[test]
    fn an_answer_is_found_for_its_request_and_its_time() {
        let kept = Kept::new(1 << 20);
        let head = request("/a?b=c", &[]);
        put(&kept, &head, "", "one", 10);
        assert_eq!(got(&kept, &head, 70), Some("one".into()));
        assert_eq!(got(&kept, &head, 71), None);
        for other in ["/a", "/a?b=d", "/a?b=c&d"] {
            assert_eq!(got(&kept, &request(other, &[]), 11), None, "{other}");
        }
        let asked = super::super::asked(&head);
        assert!(kept.find(&Target::of("other", &head), "all", &head, &asked, at(11)).is_none());
        assert!(kept.find(&Target::of("api", &head), "other", &head, &asked, at(11)).is_none());
        put(&kept, &head, "", "two", 20);
        assert_eq!((got(&kept, &head, 21), kept.entries()), (Some("two".into()), 1));
    }

    #[test]
    fn a_head_request_gets_the_head() {
        let kept = Kept::new(1 << 20);
        put(&kept, &request("/a", &[]), "", "one", 0);
        let mut head = request("/a", &[]);
        head.method = Method::HEAD;
        assert_eq!(got(&kept, &head, 1), Some(String::new()));
    }

    #[test]
    fn what_an_answer_varies_by_is_part_of_its_key_and_so_are_credentials() {
        let kept = Kept::new(1 << 20);
        let of = |language: &'static str| request("/a", &[("accept-language", language)]);
        put(&kept, &of("de"), "Accept-Language", "Hallo", 0);
        put(&kept, &of("en"), "Accept-Language", "Hello", 0);
        assert_eq!(got(&kept, &of("de"), 1), Some("Hallo".into()));
        assert_eq!(got(&kept, &of("en"), 1), Some("Hello".into()));
        assert_eq!(got(&kept, &of("fr"), 1), None);
        assert_eq!(got(&kept, &request("/a", &[]), 1), None);
        for field in ["authorization", "cookie", "x-api-key", "api-key"] {
            let mine = request("/mine", &[(field, "me")]);
            put(&kept, &mine, "", "mine", 0);
            assert_eq!(got(&kept, &mine, 1), Some("mine".into()));
            assert_eq!(got(&kept, &request("/mine", &[(field, "you")]), 1), None, "{field}");
            assert_eq!(got(&kept, &request("/mine", &[]), 1), None, "{field}");
        }
    }

    #[test]
    fn a_change_forgets_all_that_is_kept_of_its_target() {
        let kept = Kept::new(1 << 20);
        let head = request("/a", &[]);
        put(&kept, &head, "accept", "one", 0);
        put(&kept, &request("/a", &[("accept", "x")]), "accept", "two", 0);
        put(&kept, &request("/b", &[]), "", "three", 0);
        kept.forget(&Target::of("api", &head), "all", &head.headers);
        assert_eq!((got(&kept, &head, 1), kept.entries()), (None, 2));
        kept.forget_all(&Target::of("api", &head));
        assert_eq!(kept.entries(), 1);
        kept.forget_all(&Target::of("api", &request("/b", &[])));
        assert_eq!((kept.entries(), kept.bytes()), (0, 0));
    }

    #[test]
    fn the_bound_of_bytes_holds_and_the_least_recently_used_goes_first() {
        let kept = Kept::new(64 * 1024);
        let body = "x".repeat(4_000);
        let head = |number: usize| request(&format!("/{number}"), &[]);
        for number in 0..100 {
            put(&kept, &head(number), "", &body, 0);
            // The first one is wanted again and again.
            assert!(got(&kept, &head(0), 1).is_some(), "{number}");
            assert!(kept.bytes() <= 48 * 1024, "{}", kept.bytes());
        }
        assert!((8..=12).contains(&kept.entries()), "{}", kept.entries());
        assert!(got(&kept, &head(99), 1).is_some() && got(&kept, &head(50), 1).is_none());
        put(&kept, &head(99), "", &"x".repeat(64 * 1024), 0);
        assert_eq!(got(&kept, &head(99), 1), None, "too large, and the older one is outdated");
    }

    #[test]
    fn one_target_has_no_more_than_a_few_variants() {
        let kept = Kept::new(1 << 20);
        for number in 0..100 {
            put(&kept, &request("/a", &[("x", &number.to_string())]), "x", "body", number);
        }
        let ages = kept.ages(&Target::of("api", &request("/a", &[])), at(100));
        assert_eq!((ages.len(), kept.entries()), (MOST_VARIANTS, MOST_VARIANTS));
        assert!(ages.iter().all(|age| *age <= 16 * SECOND));
    }
}
