//! A server that the benchmark started: its CPU time, its memory, and its end.
//!
//! All of it is read from `/proc`, over the process, its children (nginx has workers) and all their threads. CPU time is the
//! scheduler's own count in nanoseconds, not the 10 ms ticks of `stat`.
//!
//! The end is told to the process itself and never to a name: when the guard is dropped, and by the kernel when the benchmark dies
//! first (`setpriv --pdeathsig`; the standard library has no signal handlers).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A running server; dropped, it ends.
pub(super) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// CPU time by thread, at one moment.
pub(super) struct Cpu(BTreeMap<u32, Duration>);

impl Process {
    /// Starts a program whose output goes to a file in `folder`.
    pub(super) fn start(
        name: &'static str,
        program: &Path,
        words: &[String],
        folder: &Path,
    ) -> Result<Self, String> {
        let log = folder.join(format!("{name}.log"));
        let failed = |error: std::io::Error| format!("{name} can't be started: {error}");
        let output = File::create(&log).map_err(failed)?;
        let child = tied(program)
            .args(words)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .spawn()
            .map_err(failed)?;
        Ok(Self { name, child, log })
    }

    /// Waits until it accepts connections there.
    pub(super) fn wait_for(&mut self, address: SocketAddr) -> Result<(), String> {
        let give_up_at = Instant::now() + START_TIMEOUT;
        while TcpStream::connect(address).is_err() {
            if let Some(status) =
                self.child.try_wait().map_err(|error| format!("{}: {error}", self.name))?
            {
                return Err(format!(
                    "{} isn't runnable: it ended at once ({status}){}",
                    self.name,
                    self.last_words()
                ));
            }
            if Instant::now() > give_up_at {
                return Err(format!(
                    "{} doesn't listen on {address}{}",
                    self.name,
                    self.last_words()
                ));
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// CPU time so far.
    pub(super) fn cpu(&self) -> Cpu {
        let tasks = self
            .ids()
            .into_iter()
            .flat_map(|id| fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten());
        let times = tasks.flatten().filter_map(|task| {
            let thread = task.file_name().to_str()?.parse().ok()?;
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            Some((thread, Duration::from_nanos(text.split(' ').next()?.parse().ok()?)))
        });
        Cpu(times.collect())
    }

    /// Memory that would be free without it (its share of what is shared), in KiB.
    pub(super) fn memory_kib(&self) -> Result<u64, String> {
        self.ids().into_iter().map(proportional_kib).sum()
    }

    /// The most memory that its processes ever held at a time, each by itself, in KiB.
    pub(super) fn peak_kib(&self) -> Result<u64, String> {
        self.ids().into_iter().map(|id| line_kib(id, "status", "VmHWM:")).sum()
    }

    fn ids(&self) -> Vec<u32> {
        let mut ids = vec![self.child.id()];
        let mut seen = 0;
        while seen < ids.len() {
            ids.extend(children(ids[seen]));
            seen += 1;
        }
        ids
    }

    /// What it had to say, for an error message.
    fn last_words(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].iter().map(|line| format!("\n  {line}")).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ids = self.ids();
        signal("-TERM", &ids[..1]);
        let give_up_at = Instant::now() + STOP_TIMEOUT;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > give_up_at {
                signal("-KILL", &ids);
                break;
            }
            thread::sleep(POLL);
        }
        // The only error is that it was waited for already.
        let _ = self.child.wait();
    }
}

impl Cpu {
    /// CPU time since an earlier moment. A thread that ended in between takes its share with it; none does under steady load.
    pub(super) fn since(&self, earlier: &Self) -> Duration {
        let spent = |(thread, now): (&u32, &Duration)| {
            now.saturating_sub(earlier.0.get(thread).copied().unwrap_or_default())
        };
        self.0.iter().map(spent).sum()
    }
}

/// A command whose process is told to end when this one dies, however that comes.
pub(super) fn tied(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM", "--"]).arg(program);
    command
}

/// The processes that this one started.
fn children(id: u32) -> Vec<u32> {
    // A process without children, and one that just ended, have none.
    let text = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn proportional_kib(id: u32) -> Result<u64, String> {
    line_kib(id, "smaps_rollup", "Pss:")
}

fn line_kib(id: u32, file: &str, line: &str) -> Result<u64, String> {
    let path = format!("/proc/{id}/{file}");
    let text = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    text.lines()
        .find_map(|found| found.strip_prefix(line)?.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| format!("{path} has no line `{line}`"))
}

fn signal(which: &str, ids: &[u32]) {
    let ids: Vec<String> = ids.iter().map(u32::to_string).collect();
    // Quiet: a process that is gone already is what is wanted.
    let _ = Command::new("kill").arg(which).args(ids).stderr(Stdio::null()).status();
}

/// Between two looks; short beside a start, long beside the look.
const POLL: Duration = Duration::from_millis(20);
/// Servers start in milliseconds; a busy machine may need a while.
const START_TIMEOUT: Duration = Duration::from_secs(10);
/// Long enough for a server to close its connections, short enough for whoever waits.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_counted_by_thread_and_survives_the_end_of_one() {
        let ms = Duration::from_millis;
        let before = Cpu(BTreeMap::from([(1, ms(500)), (2, ms(900))]));
        let after = Cpu(BTreeMap::from([(1, ms(700)), (3, ms(40))]));
        assert_eq!(after.since(&before), ms(240));
    }

    #[test]
    fn a_server_that_ends_at_once_is_named_with_its_last_words() {
        let folder = std::env::temp_dir();
        let words = ["-c".to_owned(), "echo no such endpoint; exit 3".to_owned()];
        let mut process =
            Process::start("broken-server", Path::new("sh"), &words, &folder).unwrap();
        let why = process.wait_for(SocketAddr::from(([127, 0, 0, 1], 1))).unwrap_err();
        assert!(why.starts_with("broken-server isn't runnable"), "{why}");
        assert!(why.contains("exit status: 3") && why.contains("no such endpoint"), "{why}");
        fs::remove_file(&process.log).unwrap();
    }
}
