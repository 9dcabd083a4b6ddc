//! Where all events meet.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mainstay_core::incident::IncidentSettings;
use mainstay_core::{Checked, Timestamp};
use parking_lot::Mutex;

use crate::access::{AccessLog, AccessOptions};
use crate::call::kept::KeptCall;
use crate::call::live::Live;
use crate::call::{CallRecord, recent::Recent};
use crate::counters::{UpstreamCounters, UpstreamSums};
use crate::feed::{Feed, FeedItem, Hub};
use crate::file::{RecordCalls, RecordWriter, RecordsOptions, RecordsStatus};
use crate::history::{Change, Changes, Order, Timeline, TimelineFilter, bucket_of};
use crate::incidents::{CallEnd, Incident, IncidentFilter, IncidentTurn, Incidents, Now};
use crate::log::{Log, LogOptions, LogSettings, json};
use crate::metrics::{self, Counted, ProcessSums, UpstreamSnapshot};
use crate::otlp::{self, Resource};
use crate::span::SpanQueue;
use crate::{CallId, CallRow, Census, Counts, UpstreamRecorder, WrongFilter};

/// Upstreams that are remembered after reloads have removed them, together with those in use. More than a config has.
const UPSTREAMS_KEPT: usize = 1000;

/// Counts, keeps and publishes what happens, for the whole process.
///
/// One for all cores: what a healthy call counts is kept per thread, the rest is rare.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    upstreams: Mutex<BTreeMap<Arc<str>, Arc<UpstreamCounters>>>,
}

/// What a recorder does besides counting.
#[derive(Clone, Debug)]
pub struct RecorderOptions {
    /// The log; `None` writes none. Default none.
    pub log: Option<LogOptions>,
    /// Wall-clock milliseconds since 1970, for records and the feed. Default the system's clock.
    pub unix_millis: fn() -> u64,
}

impl Default for RecorderOptions {
    fn default() -> Self {
        Self { log: None, unix_millis: system_unix_millis }
    }
}

/// What all upstreams' recorders share.
#[derive(Debug)]
pub(crate) struct Shared {
    unix_millis: fn() -> u64,
    log: Option<Log>,
    access: Mutex<Option<Arc<AccessLog>>>,
    /// Lines that access logs before this one had dropped.
    access_dropped: AtomicU64,
    feed: Hub,
    recent: Recent,
    file: Mutex<Option<Arc<RecordWriter>>>,
    spans: Arc<SpanQueue>,
    changes: Changes,
    live: Live,
    incidents: Incidents,
    turns: Turns,
    outbox_reachable: Mutex<Option<bool>>,
}

/// Beginnings and ends of incidents that somebody wants to hear of.
#[derive(Debug, Default)]
struct Turns {
    wanted: AtomicBool,
    list: Mutex<VecDeque<IncidentTurn>>,
}

impl Recorder {
    /// A recorder with nothing counted, and no log.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Self::with(RecorderOptions::default())
    }

    /// A recorder with nothing counted.
    #[must_use]
    pub fn with(options: RecorderOptions) -> Arc<Self> {
        let shared = Shared {
            unix_millis: options.unix_millis,
            log: options.log.map(Log::new),
            access: Mutex::default(),
            access_dropped: AtomicU64::new(0),
            feed: Hub::new(),
            recent: Recent::default(),
            file: Mutex::default(),
            spans: Arc::default(),
            changes: Changes::default(),
            live: Live::default(),
            incidents: Incidents::default(),
            turns: Turns::default(),
            outbox_reachable: Mutex::default(),
        };
        Arc::new(Self { shared: Arc::new(shared), upstreams: Mutex::default() })
    }

    /// The part for an upstream with these endpoints, in the order of their ids.
    ///
    /// An upstream and endpoints that were there before go on counting where they were.
    #[must_use]
    pub fn upstream(self: &Arc<Self>, name: &str, endpoints: &[&str]) -> Arc<UpstreamRecorder> {
        self.upstream_at(name, endpoints, &[])
    }

    /// The same, with host and port of each endpoint, which spans say.
    #[must_use]
    pub fn upstream_at(
        self: &Arc<Self>,
        name: &str,
        endpoints: &[&str],
        addresses: &[(&str, u16)],
    ) -> Arc<UpstreamRecorder> {
        let mut upstreams = self.upstreams.lock();
        let calls = match upstreams.get(name) {
            Some(calls) => Arc::clone(calls),
            None => {
                let calls = UpstreamCounters::new(name);
                upstreams.insert(Arc::clone(calls.name()), Arc::clone(&calls));
                calls
            }
        };
        forget_upstreams(&mut upstreams);
        let endpoints = calls.endpoints(endpoints);
        let addresses = addresses.iter().map(|(host, port)| ((*host).into(), *port)).collect();
        UpstreamRecorder::new(&self.shared, calls, endpoints, addresses)
    }

    /// Everything that was counted until now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let ProcessSums { log_dropped, feed_lost, .. } = self.process_sums();
        Counts::new(&self.sums(), log_dropped, feed_lost)
    }

    /// Which events, breaks and reasons were ever reached.
    #[must_use]
    pub fn census(&self) -> Census {
        Census::new(&self.sums())
    }

    /// The text for a scrape: OpenMetrics or Prometheus, with the states that `snapshot` shows.
    #[must_use]
    pub fn metrics_text(&self, openmetrics: bool, snapshot: &[UpstreamSnapshot]) -> String {
        metrics::text(openmetrics, &self.counted(snapshot), snapshot, self.process_sums())
    }

    /// The same as OTLP's `ExportMetricsServiceRequest`: cumulative since the process began, at `from_unix_nanos`, until now.
    #[must_use]
    pub fn metrics_otlp(
        &self,
        resource: &Resource,
        (from_unix_nanos, now_unix_nanos): (u64, u64),
        snapshot: &[UpstreamSnapshot],
    ) -> Vec<u8> {
        let span = metrics::Span { from: from_unix_nanos, to: now_unix_nanos };
        let counted = self.counted(snapshot);
        otlp::request(resource, &metrics::otlp(span, &counted, snapshot, self.process_sums()))
    }

    fn counted(&self, snapshot: &[UpstreamSnapshot]) -> Vec<Counted> {
        let now = |name: &str| snapshot.iter().find(|upstream| upstream.name == name).map(|s| s.at);
        self.known()
            .iter()
            .map(|upstream| Counted {
                recent_amplification: now(upstream.name())
                    .and_then(|now| upstream.recent_amplification(now)),
                incidents_open: self.shared.incidents.open_at(upstream.name()),
                sums: upstream.sums(),
            })
            .collect()
    }

    /// Says, before a scrape, whether the database of stored writes could be asked.
    pub fn note_outbox(&self, reachable: bool) {
        *self.shared.outbox_reachable.lock() = Some(reachable);
    }

    /// A reader of what breaks and what is done about it, from now on.
    #[must_use]
    pub fn subscribe(&self) -> Feed {
        self.shared.feed.subscribe()
    }

    /// What is kept of the hour before `now`, as far as the filter wants it.
    ///
    /// # Errors
    ///
    /// It names an upstream or an endpoint that isn't there.
    pub fn timeline(
        &self,
        filter: &TimelineFilter,
        now: Timestamp,
    ) -> Result<Timeline, WrongFilter> {
        filter.pick(&self.known(), &self.shared.changes, now, self.shared.unix_millis())
    }

    /// Lets go of what is older than an hour: of upstreams and endpoints that aren't looked at any more.
    pub fn tidy_history(&self, now: Timestamp) {
        let now = bucket_of(now);
        for upstream in self.known() {
            upstream.past().take_if(|past| past.is_over(now));
            for endpoint in upstream.known() {
                endpoint.past().take_if(|past| past.is_over(now));
            }
        }
    }

    /// Bytes that the history takes, changes of state not counted: these are a few thousand at most.
    #[must_use]
    pub fn history_bytes(&self) -> usize {
        let of_upstream = |upstream: &Arc<UpstreamCounters>| {
            let endpoints = upstream.known();
            let endpoints =
                endpoints.iter().map(|one| one.past().as_ref().map_or(0, |past| past.bytes()));
            upstream.past().as_ref().map_or(0, |past| past.bytes()) + endpoints.sum::<usize>()
        };
        self.known().iter().map(of_upstream).sum()
    }

    /// The changes of state after this one (0: all that are kept), and how many of them aren't kept any more.
    #[must_use]
    pub fn changes_after(&self, seq: u64) -> (Vec<Change>, u64) {
        self.shared.changes.after(seq)
    }

    /// The number of the last change; 0 before the first.
    #[must_use]
    pub fn last_change(&self) -> u64 {
        self.shared.changes.last()
    }

    /// Notes what a person ordered: among the changes, in the feed, and in the log.
    pub fn note_order(&self, order: Order) {
        self.shared.note_change(&Arc::new(FeedItem {
            v: 1,
            at_unix_ms: self.shared.unix_millis(),
            event: "ordered".into(),
            upstream: order.upstream.unwrap_or_default(),
            endpoint: order.endpoint,
            why: Some(order.order.into()),
            who: Some(order.who.into()),
            what: order.what.map(Into::into),
            ..FeedItem::default()
        }));
    }

    /// By which rules incidents begin and end, from now on; before that none does. Whoever sets them keeps time for them, by
    /// [`UpstreamRecorder::look`] each second. And whether their beginnings and ends are kept to be
    /// [taken](Self::take_incident_turns).
    pub fn set_incidents(&self, settings: Checked<IncidentSettings>, turns_wanted: bool) {
        self.shared.incidents.set(settings);
        self.shared.turns.wanted.store(turns_wanted, Ordering::Relaxed);
        if !turns_wanted {
            self.shared.turns.list.lock().clear();
        }
    }

    /// The incidents that are wanted, the newest first.
    #[must_use]
    pub fn incidents(&self, filter: &IncidentFilter, now: Timestamp) -> Vec<Incident> {
        self.shared.incidents.list(filter, self.shared.wall(now))
    }

    /// The incident of this name, and the others of its group; `None` when it isn't kept.
    #[must_use]
    pub fn incident(&self, id: &str, now: Timestamp) -> Option<(Incident, Vec<Incident>)> {
        self.shared.incidents.find(id, self.shared.wall(now))
    }

    /// The incidents that have changed since this version (0: all), and the version now.
    #[must_use]
    pub fn incidents_after(&self, version: u64, now: Timestamp) -> (Vec<Incident>, u64) {
        self.shared.incidents.changed(version, self.shared.wall(now))
    }

    /// Only these upstreams are left: the incidents of others are over.
    pub fn incidents_only(&self, upstreams: &[Arc<str>], now: Timestamp) {
        for turn in self.shared.incidents.only(upstreams, self.shared.wall(now)) {
            self.shared.note_incident(turn);
        }
    }

    /// Beginnings and ends since the last time, the oldest first: a thousand at most are kept.
    #[must_use]
    pub fn take_incident_turns(&self) -> Vec<IncidentTurn> {
        self.shared.turns.list.lock().drain(..).collect()
    }

    /// Broken calls that met an incident and are still kept, in short: at most so many, failed ones first.
    #[must_use]
    pub fn calls_of(&self, incident: &Incident, most: usize) -> Vec<CallRow> {
        let Some(span) = self.shared.incidents.span(&incident.id) else { return Vec::new() };
        let kept = self.shared.recent.kept();
        let met = kept.iter().filter(|call| CallEnd::of(call).is_some_and(|end| span.has(&end)));
        let mut rows: Vec<_> = met
            .map(|call| {
                let mut row = CallRow::of(call, 0);
                row.at_unix_ms = row.started_unix_ms + row.took_ms.unwrap_or_default() as u64;
                row
            })
            .collect();
        rows.sort_by_key(|row| !row.failed);
        rows.truncate(most);
        rows
    }

    /// Says how many watch the sample of broken calls.
    pub fn watch_calls(&self, readers: usize) {
        self.shared.live.watched(readers);
    }

    /// The sample of calls that broke since the last time, and how many of them aren't in it. To be taken four times a second,
    /// by one thread.
    #[must_use]
    pub fn take_calls(&self) -> (Vec<CallRow>, u64) {
        self.shared.live.take()
    }

    /// What is kept of broken calls, from now on. What is kept already stays, as far as there is room.
    ///
    /// # Errors
    ///
    /// No thread can be started for the file; what was before goes on.
    pub fn keep_records(&self, options: &RecordsOptions) -> std::io::Result<()> {
        self.shared.keep_records(options)
    }

    /// How writing records to a file goes; `None` when there is no file.
    #[must_use]
    pub fn records_status(&self) -> Option<RecordsStatus> {
        self.shared.file.lock().as_ref().map(|file| file.status())
    }

    /// Calls that wait to be exported as spans.
    #[must_use]
    pub fn spans(&self) -> &Arc<SpanQueue> {
        self.shared.spans()
    }

    /// The last broken calls, the newest first: a thousand if nothing else was said, and as many failed ones.
    #[must_use]
    pub fn recent(&self) -> Vec<CallRecord> {
        self.shared.recent.records()
    }

    /// The record of a broken call, if it is among the last ones.
    #[must_use]
    pub fn find(&self, call: CallId) -> Option<CallRecord> {
        self.shared.recent.find(call)
    }

    /// How the log is written; nothing where there is none.
    #[must_use]
    pub fn log_settings(&self) -> Option<LogSettings> {
        self.shared.log().map(Log::settings)
    }

    /// Has it written so from now on, if there is one.
    pub fn set_log(&self, settings: LogSettings) {
        if let Some(log) = self.shared.log() {
            log.set(settings);
        }
    }

    /// Has requests logged so from now on, or not at all, and gives the log. It is the one before where that is the same.
    ///
    /// # Errors
    ///
    /// No thread can be started; what was before goes on.
    pub fn log_requests(
        &self,
        options: Option<AccessOptions>,
    ) -> std::io::Result<Option<Arc<AccessLog>>> {
        let mut access = self.shared.access.lock();
        if access.as_ref().map(|access| access.options()) != options.as_ref() {
            if let Some(before) = &*access {
                // So that no two threads write one file; a disk that hangs is not waited for.
                before.flush(FLUSH);
            }
            let next = options.map(AccessLog::new).transpose()?.map(Arc::new);
            if let Some(before) = std::mem::replace(&mut *access, next) {
                self.shared.access_dropped.fetch_add(before.dropped(), Ordering::Relaxed);
            }
        }
        Ok(access.clone())
    }

    /// The access log, if there is one.
    #[must_use]
    pub fn access_log(&self) -> Option<Arc<AccessLog>> {
        self.shared.access.lock().clone()
    }

    /// Waits until log, access log and records are written, at most so long each. For the end of a process.
    pub fn flush_log(&self, at_most: Duration) {
        let file = self.shared.file.lock().clone();
        if let Some(file) = file {
            file.flush(at_most);
        }
        if let Some(log) = self.shared.log() {
            log.sink().flush(at_most);
        }
        let access = self.shared.access.lock().clone();
        if let Some(access) = access {
            access.flush(at_most);
        }
    }

    /// The upstreams, to be read without holding up whoever reloads.
    fn known(&self) -> Vec<Arc<UpstreamCounters>> {
        self.upstreams.lock().values().cloned().collect()
    }

    fn sums(&self) -> Vec<UpstreamSums> {
        self.known().iter().map(|upstream| upstream.sums()).collect()
    }

    fn process_sums(&self) -> ProcessSums {
        ProcessSums {
            log_dropped: self.shared.log().map_or(0, |log| log.sink().dropped()),
            access_dropped: self.shared.access_dropped(),
            feed_lost: self.shared.feed.lost(),
            traces: self.shared.spans.status(),
            outbox_reachable: *self.shared.outbox_reachable.lock(),
        }
    }
}

impl Shared {
    pub(crate) fn unix_millis(&self) -> u64 {
        (self.unix_millis)()
    }

    pub(crate) const fn log(&self) -> Option<&Log> {
        self.log.as_ref()
    }

    /// Lines that access logs dropped.
    fn access_dropped(&self) -> u64 {
        let now = self.access.lock().as_ref().map_or(0, |access| access.dropped());
        self.access_dropped.load(Ordering::Relaxed) + now
    }

    pub(crate) const fn spans(&self) -> &Arc<SpanQueue> {
        &self.spans
    }

    pub(crate) const fn feed(&self) -> &Hub {
        &self.feed
    }

    pub(crate) const fn live(&self) -> &Live {
        &self.live
    }

    pub(crate) const fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    /// This moment on both clocks.
    pub(crate) fn wall(&self, at: Timestamp) -> Now {
        Now { at, unix_ms: self.unix_millis() }
    }

    /// Tells of an incident that began or ended.
    pub(crate) fn note_incident(&self, turn: IncidentTurn) {
        let incident = &turn.incident;
        let noticed = self.unix_millis();
        let (event, at, why) = match turn.began {
            true => {
                ("incident-began", Some(incident.began_unix_ms), Some(incident.began_by.clone()))
            }
            false => ("incident-ended", incident.ended_unix_ms, incident.ended_by.clone()),
        };
        self.note_change(&Arc::new(FeedItem {
            v: 1,
            at_unix_ms: at.unwrap_or(noticed),
            noticed_unix_ms: Some(noticed),
            event: event.into(),
            upstream: Arc::clone(&incident.upstream),
            endpoint: incident.endpoint.clone(),
            code: Some(incident.cause.clone().into()),
            why: why.map(Into::into),
            what: Some(incident.id.as_str().into()),
            ..FeedItem::default()
        }));
        if self.turns.wanted.load(Ordering::Relaxed) {
            let mut list = self.turns.list.lock();
            if list.len() >= TURNS {
                list.pop_front();
            }
            list.push_back(turn);
        }
    }

    /// Keeps a change of state, and tells of it.
    pub(crate) fn note_change(&self, item: &Arc<FeedItem>) {
        self.changes.add(Arc::clone(item));
        if let Some(log) = self.log() {
            log.write_transition(item);
        }
        if self.feed.has_readers() {
            self.feed.send(Arc::clone(item));
        }
    }

    /// Keeps a broken call, in memory and in the file.
    pub(crate) fn keep(&self, call: &Arc<KeptCall>) {
        let file = self.file.lock().clone();
        if let Some(file) = file
            && (call.is_failed() || file.settings().calls == RecordCalls::Broken)
        {
            file.write(json::record(&call.record()));
        }
        self.recent.keep(call);
    }

    fn keep_records(&self, options: &RecordsOptions) -> std::io::Result<()> {
        self.recent.hold(options.memory);
        let current = self.file.lock().clone();
        if current.as_ref().map(|file| file.settings()) == options.file.as_ref() {
            return Ok(());
        }
        if let Some(before) = current {
            // So that no two threads write one file; a disk that hangs is not waited for.
            before.flush(FLUSH);
        }
        let file = match &options.file {
            Some(file) => Some(Arc::new(RecordWriter::new(file.clone(), None)?)),
            None => None,
        };
        *self.file.lock() = file;
        Ok(())
    }
}

/// Beginnings and ends of incidents that wait to be taken; they are taken each second.
const TURNS: usize = 1000;

/// How long a reload waits for records that are on their way to a file.
const FLUSH: Duration = Duration::from_secs(1);

/// Drops upstreams that nobody counts for any more once there are too many.
fn forget_upstreams(upstreams: &mut BTreeMap<Arc<str>, Arc<UpstreamCounters>>) {
    let mut surplus = upstreams.len().saturating_sub(UPSTREAMS_KEPT);
    upstreams.retain(|_, upstream| {
        let forgotten = surplus > 0 && Arc::strong_count(upstream) == 1;
        surplus -= usize::from(forgotten);
        !forgotten
    });
}

fn system_unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
