//! How much of the machine somebody else had during a measurement: a figure from a busy machine must say so.

use std::fs;
use std::time::Duration;

/// CPU time of the whole machine, and of the programs that we waited for (the load generators), at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    all: u64,
    idle: u64,
    ended: u64,
}

impl Moment {
    pub(super) fn now() -> Result<Self, String> {
        let read = |path| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
        Self::parse(&read("/proc/stat")?, &read("/proc/self/stat")?)
            .ok_or_else(|| "/proc/stat can't be read".into())
    }

    fn parse(machine: &str, own: &str) -> Option<Self> {
        // user nice system idle iowait irq softirq steal; guests are in user already.
        let words = machine.lines().next()?.split_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        // After the name in brackets, which may hold spaces, comes the third field.
        let own: Vec<&str> = own.rsplit(')').next()?.split_whitespace().collect();
        let field = |number: usize| own.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            all: ticks.iter().sum(),
            idle: ticks.get(3)? + ticks.get(4)?,
            ended: field(16)? + field(17)?,
        })
    }

    /// The share of the machine, 0 to 1, that went to others since then; `ours` is what our servers took. Time that the host took
    /// away counts as somebody else's.
    pub(super) fn taken_by_others(&self, since: &Self, ours: Duration) -> f64 {
        let all = self.all.saturating_sub(since.all) as f64;
        let idle = self.idle.saturating_sub(since.idle) as f64;
        let ended = self.ended.saturating_sub(since.ended) as f64;
        let ours = ours.as_secs_f64() * TICKS_A_SECOND;
        if all > 0.0 { ((all - idle - ended - ours) / all).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// `USER_HZ`: the same on every Linux for the usual machines.
const TICKS_A_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(user: u64, idle: u64, steal: u64, ended: u64) -> Moment {
        let machine = format!("cpu  {user} 0 0 {idle} 0 0 0 {steal} 0 0\ncpu0 1 1 1 1\n");
        let own = format!("77 (x task) R 1 2 3 4 5 6 7 8 9 10 11 12 {ended} 0 20 0\n");
        Moment::parse(&machine, &own).unwrap()
    }

    #[test]
    fn what_neither_we_nor_the_load_generator_took_went_to_others() {
        let before = moment(1_000, 5_000, 0, 40);
        let after = moment(1_300, 5_080, 20, 140);
        // 400 ticks: 80 idle, 100 the load generator, 140 our servers; the other 80 were somebody else's.
        assert_eq!(after.taken_by_others(&before, Duration::from_millis(1_400)), 0.2);
    }
}
