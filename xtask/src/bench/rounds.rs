//! The rounds: in each, every system is measured once, and each round begins with another system.
//!
//! So a slow minute of the machine hits all of them, and comparisons are made within a round, never across.

use std::time::Duration;

use super::idle::{self, Idle};
use super::load::{self, Load};
use super::noise::Moment;
use super::options::Options;
use super::process::Process;
use super::system::{Place, Running, System};

/// All figures of one system; the n-th of each list is that of round n.
pub(super) struct Series {
    pub(super) system: System,
    /// All connections busy.
    pub(super) busy: Vec<Sample>,
    /// One connection.
    pub(super) quiet: Vec<Sample>,
    /// Writes, if asked for.
    pub(super) writes: Vec<Sample>,
    /// HTTP/2, if asked for.
    pub(super) streams: Vec<Sample>,
    /// TLS on both sides, if asked for.
    pub(super) secured: Vec<Sample>,
    /// Of one fresh process each.
    pub(super) idle: Vec<Idle>,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    pub(super) load: Load,
    /// CPU time of the proxy's processes for one request, in microseconds.
    pub(super) cpu_us: Option<f64>,
    /// The share of the machine that others took meanwhile, 0 to 1.
    pub(super) others: f64,
}

/// Where systems are started, and what is behind them.
pub(super) struct Stage<'a> {
    pub(super) place: &'a Place<'a>,
    pub(super) origin: &'a Process,
}

impl Stage<'_> {
    fn start(&self, options: &Options) -> Result<Vec<Running>, String> {
        options.systems.iter().map(|system| system.start(self.place)).collect()
    }
}

/// Starts all systems, without TLS and, if asked for, with it, runs the rounds with them side by side, and ends them.
pub(super) fn run(
    options: &Options,
    plain: &Stage<'_>,
    tls: Option<&Stage<'_>>,
) -> Result<Vec<Series>, String> {
    let started = plain.start(options)?;
    for running in &started {
        load::wrk(running.address, options.connections, 1)?;
    }
    let secured = tls.map(|stage| stage.start(options)).transpose()?;
    for running in secured.iter().flatten() {
        load::wrk_tls(running.address, options.connections, 1)?;
    }
    let mut all: Vec<Series> = options.systems.iter().map(|&system| Series::new(system)).collect();
    for round in 0..options.rounds {
        eprintln!("=== round {} of {}", round + 1, options.rounds);
        for turn in 0..started.len() {
            let which = (round + turn) % started.len();
            all[which].measure(&started[which], options, plain.origin)?;
            if let (Some(secured), Some(stage)) = (&secured, tls) {
                all[which].measure_tls(&secured[which], options, stage.origin)?;
            }
        }
    }
    Ok(all)
}

/// Measures the memory of idle connections, in rounds too, with one fresh process after the other: what an allocator keeps
/// differs from one process to the next.
pub(super) fn add_idle(
    all: &mut [Series],
    rounds: usize,
    connections: usize,
    place: &Place<'_>,
) -> Result<(), String> {
    for round in 0..rounds.min(MOST_IDLE_ROUNDS) {
        eprintln!("=== {connections} idle connections, round {}", round + 1);
        for series in all.iter_mut() {
            series.idle.extend(idle::measure(&series.system.start(place)?, connections)?);
        }
    }
    Ok(())
}

impl Series {
    fn new(system: System) -> Self {
        Self {
            system,
            busy: Vec::new(),
            quiet: Vec::new(),
            writes: Vec::new(),
            streams: Vec::new(),
            secured: Vec::new(),
            idle: Vec::new(),
        }
    }

    fn measure(
        &mut self,
        running: &Running,
        options: &Options,
        origin: &Process,
    ) -> Result<(), String> {
        let few_seconds = options.seconds.div_ceil(2);
        let busy = || load::wrk(running.address, options.connections, options.seconds);
        self.busy.push(Sample::take(running, origin, busy)?);
        let quiet = || load::wrk(running.address, 1, few_seconds);
        self.quiet.push(Sample::take(running, origin, quiet)?);
        if options.post {
            let writes = || load::wrk_post(running.address, options.connections, few_seconds);
            self.writes.push(Sample::take(running, origin, writes)?);
        }
        // The origin speaks HTTP/1.1 only.
        if options.h2 && self.system != System::Direct {
            let streams = || load::h2load(running.h2_address, options.seconds);
            self.streams.push(Sample::take(running, origin, streams)?);
        }
        Ok(())
    }
}

impl Series {
    fn measure_tls(
        &mut self,
        running: &Running,
        options: &Options,
        origin: &Process,
    ) -> Result<(), String> {
        let load =
            || load::wrk_tls(running.address, options.connections, options.seconds.div_ceil(2));
        self.secured.push(Sample::take(running, origin, load)?);
        Ok(())
    }
}

impl Sample {
    fn take(
        running: &Running,
        origin: &Process,
        load: impl FnOnce() -> Result<Load, String>,
    ) -> Result<Self, String> {
        let name = running.system.name();
        let cpu = || running.process.as_ref().map(Process::cpu);
        let (begun, cpu_before, origin_before) = (Moment::now()?, cpu(), origin.cpu());
        let load = load()?;
        let (ended, cpu_after, origin_after) = (Moment::now()?, cpu(), origin.cpu());
        if load.requests == 0 {
            return Err(format!("{name} answered nothing"));
        }
        let spent = cpu_before.zip(cpu_after).map(|(before, after)| after.since(&before));
        let ours = spent.unwrap_or_default() + origin_after.since(&origin_before);
        let cpu_us = spent.map(|spent: Duration| spent.as_secs_f64() * 1e6 / load.requests as f64);
        let sample = Self { load, cpu_us, others: ended.taken_by_others(&begun, ours) };
        eprintln!(
            "{name:>10}: {:7.0} requests/s, CPU {} us each, p50 {} us, {} errors, others {:.0} %",
            load.per_second,
            cpu_us.map_or("-".into(), |us| format!("{us:.1}")),
            load.p50_us.map_or("-".into(), |us| format!("{us:.0}")),
            load.errors,
            sample.others * 100.0,
        );
        Ok(sample)
    }
}

/// Each takes ten seconds a system, and memory is less noisy than time.
const MOST_IDLE_ROUNDS: usize = 3;
