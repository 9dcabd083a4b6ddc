//! SIGUSR2: the binary that stands now where this process's was started from takes over, and nobody notices.
//!
//! It is started with the same arguments, its standard input being a channel to this process, over which it gets the listening sockets
//! (see [`Heritage`]). Until it says that it is ready, this process takes connections in; then it drains and ends. A successor that
//! doesn't start, because its config is wrong or the file isn't a program, changes nothing.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mainstay_proxy::{Heritage, HeritageError};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::exit::{Failure, text};

/// What this process was given, once it takes connections in.
#[derive(Debug)]
pub(super) struct Predecessor(UnixStream);

impl Predecessor {
    /// The process that started this one to take over, if one did, and what it gives.
    pub(super) fn find() -> Result<Option<(Self, Heritage)>, Failure> {
        if std::env::var_os(MARK).is_none() {
            return Ok(None);
        }
        let input = std::io::stdin().as_fd().try_clone_to_owned().map_err(text)?;
        let channel = UnixStream::from(input);
        // Whoever sets the variable by hand has another standard input.
        channel.local_addr().map_err(|_| {
            Failure::usage(format!("{MARK} is set, and standard input isn't a channel to a process that hands over; unset it"))
        })?;
        let heritage = Heritage::receive(&channel, PATIENCE).map_err(text)?;
        Ok(Some((Self(channel), heritage)))
    }

    /// From now on it needn't take anything in.
    pub(super) fn tell_ready(&self) {
        if let Err(error) = Heritage::tell_ready(&self.0) {
            tracing::info!(%error, "the process before is gone already");
        }
    }
}

/// Tells a successor to end as this process was told to.
pub(super) fn end(successor: u32) {
    let id = i32::try_from(successor).ok().and_then(Pid::from_raw);
    let told = id.ok_or(Errno::SRCH).and_then(|id| kill_process(id, Signal::TERM));
    if let Err(error) = told {
        tracing::error!(%error, successor, "the process that has taken over can't be told to end");
    }
}

/// The two ends of the channel to a successor: ours, and what becomes its standard input.
///
/// # Errors
///
/// There are no descriptors to spare; or this is the first process of a container, which would end with it, and the successor with the container.
pub(super) fn channel() -> Result<(UnixStream, UnixStream), Failure> {
    if std::process::id() == 1 {
        return Err(Failure::of(
            "this process is the first one of its container, which ends with it; start a new container",
        ));
    }
    UnixStream::pair().map_err(text)
}

/// Starts the successor and gives it `heritage`. Its process id, once it takes connections in.
///
/// It blocks for as long as the successor needs to start, or until `ours` is shut down.
///
/// # Errors
///
/// It can't be started, or isn't ready within a minute; then it is gone again.
pub(super) fn hand_over(
    heritage: &Heritage,
    ours: &UnixStream,
    theirs: UnixStream,
) -> Result<u32, Failure> {
    let mut words = std::env::args_os();
    // Not the file that runs: a symbolic link or an entry of PATH may lead to another one now.
    let program = words.next().unwrap_or_else(|| OsString::from("mainstay"));
    let mut child = Command::new(&program)
        .args(words)
        .env(MARK, "1")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .spawn()
        .map_err(|error| Failure::of(format!("{} can't be started: {error}", program.display())))?;
    heritage.give(ours, PATIENCE).map_err(|error| not_ready(&mut child, error))?;
    Ok(child.id())
}

/// What became of a successor that isn't ready. It is no more.
fn not_ready(child: &mut Child, error: HeritageError) -> Failure {
    // Both fail only if it has ended.
    let _ = child.kill();
    let ended = child.wait();
    let how = ended.map_or_else(|error| error.to_string(), |status| status.to_string());
    let failure = text(error);
    Failure { message: format!("{} ({how})", failure.message), ..failure }
}

/// Says to a process that its standard input is a channel to the one before.
const MARK: &str = "MAINSTAY_TAKES_OVER";

/// Reading settings and opening stores takes seconds at worst.
const PATIENCE: Duration = Duration::from_secs(60);
