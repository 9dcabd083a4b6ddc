//! How much of the machine somebody else had: figures from a busy machine must say so.

use std::path::Path;

use crate::support::text;

/// CPU time of the whole machine, and of this process with those that it started, at one moment, in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    all: u64,
    idle: u64,
    ours: u64,
}

impl Moment {
    pub(crate) fn now() -> Result<Self, String> {
        let machine = std::fs::read_to_string("/proc/stat").map_err(text)?;
        let own = std::fs::read_to_string("/proc/self/stat").map_err(text)?;
        Self::parse(&machine, &own).ok_or_else(|| "/proc/stat can't be read".to_owned())
    }

    fn parse(machine: &str, own: &str) -> Option<Self> {
        // user nice system idle iowait irq softirq steal.
        let words = machine.lines().next()?.split_whitespace().skip(1).take(8);
        let ticks: Vec<u64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
        // From the third field on, behind the name in brackets: utime, stime, and both of children that were waited for.
        let own: Vec<&str> = own.rsplit(')').next()?.split_whitespace().collect();
        let field = |number: usize| own.get(number - 3)?.parse::<u64>().ok();
        let ours = field(14)? + field(15)? + field(16)? + field(17)?;
        Some(Self { all: ticks.iter().sum(), idle: ticks.get(3)? + ticks.get(4)?, ours })
    }

    /// The share of the machine that went to others since then. To be asked when all that was started meanwhile has ended.
    pub(crate) fn others_since(self, earlier: Self) -> f64 {
        let all = self.all.saturating_sub(earlier.all) as f64;
        let taken = (self.idle - earlier.idle) + self.ours.saturating_sub(earlier.ours);
        if all > 0.0 { (1.0 - taken as f64 / all).clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// Cores and processor.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let text = std::fs::read_to_string(Path::new("/proc/cpuinfo")).unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    format!("{cores} cores, {}", name.map_or("unknown processor", |(_, name)| name))
}

/// What neither idled nor was ours went to others.
pub(crate) fn check_others() -> Result<(), String> {
    let moment = |user: u64, idle: u64, ours: u64| {
        let machine = format!("cpu  {user} 0 0 {idle} 0 0 0 0 0 0\n");
        let own = format!("7 (x y) R 1 2 3 4 5 6 7 8 9 10 {ours} 0 0 0 20 0\n");
        Moment::parse(&machine, &own).ok_or("not read")
    };
    let others = moment(1_100, 5_100, 90)?.others_since(moment(1_000, 5_000, 50)?);
    if (others - 0.3).abs() < 1e-9 { Ok(()) } else { Err(format!("{others}")) }
}
