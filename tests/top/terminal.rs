//! A pseudo-terminal with a program in it, and what a terminal would show.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::Outcome;
use crate::support::{PATIENCE, text};

pub(crate) struct Terminal {
    /// The side of who types and looks.
    ours: File,
    /// The program's side, kept open so that its modes can be looked at after it ended.
    theirs: File,
    program: Child,
    shown: Arc<Mutex<Shown>>,
}

/// What came out of it.
struct Shown {
    screen: vt100::Parser,
    raw: Vec<u8>,
}

/// What it shows when a program begins: it has to be there again when the program is gone.
const BEFORE: &str = "what was there before";

impl Terminal {
    /// Runs it, as the first process of a session whose terminal this is.
    pub(crate) fn run(
        words: &[&str],
        variables: &[(&str, &str)],
        size: (u16, u16),
    ) -> Result<Self, String> {
        let ours = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).map_err(text)?;
        grantpt(&ours).map_err(text)?;
        unlockpt(&ours).map_err(text)?;
        let name = ptsname(&ours, Vec::new()).map_err(text)?;
        let name = name.into_string().map_err(text)?;
        let theirs = File::options().read(true).write(true).open(name).map_err(text)?;
        set_size(&ours, size)?;
        let (columns, rows) = size;
        let screen = vt100::Parser::new(cells(rows)?, cells(columns)?, 0);
        let shown = Arc::new(Mutex::new(Shown { screen, raw: Vec::new() }));
        let reading = (File::from(ours.try_clone().map_err(text)?), Arc::clone(&shown));
        std::thread::spawn(move || read(reading.0, &reading.1));
        (&theirs).write_all(format!("{BEFORE}\r\n").as_bytes()).map_err(text)?;
        let side = || theirs.try_clone().map(OwnedFd::from).map(Stdio::from).map_err(text);
        let program = Command::new("setsid")
            .arg("--ctty")
            .args(words)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("NO_COLOR")
            .envs(variables.iter().copied())
            .stdin(side()?)
            .stdout(side()?)
            .stderr(side()?)
            .spawn()
            .map_err(text)?;
        Ok(Self { ours: File::from(ours), theirs, program, shown })
    }

    /// `mainstay top` against this admin address.
    pub(crate) fn top(admin: &str, size: (u16, u16)) -> Result<Self, String> {
        Self::run(&[env!("CARGO_BIN_EXE_mainstay"), "top", "--admin", admin], &[], size)
    }

    /// Types these keys.
    pub(crate) fn keys(&self, keys: &str) -> Outcome {
        (&self.ours).write_all(keys.as_bytes()).map_err(text)
    }

    /// Makes it as large, which the program is told by a signal.
    pub(crate) fn resize(&self, size: (u16, u16)) -> Outcome {
        self.shown().screen.screen_mut().set_size(cells(size.1)?, cells(size.0)?);
        set_size(&self.ours, size)
    }

    /// Waits until these words are on the screen.
    pub(crate) async fn until(&self, words: &str) -> Outcome {
        self.wait(&format!("{words:?}"), |screen| screen.contents().contains(words)).await
    }

    /// Waits until these words are on it no more.
    pub(crate) async fn until_gone(&self, words: &str) -> Outcome {
        self.wait(&format!("no {words:?}"), |screen| !screen.contents().contains(words)).await
    }

    async fn wait(&self, what: &str, holds: impl Fn(&vt100::Screen) -> bool) -> Outcome {
        let began = Instant::now();
        while !holds(self.shown().screen.screen()) {
            if began.elapsed() > PATIENCE {
                return Err(format!("{what} never comes; shown is:\n{}", self.contents()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    }

    /// The text on the screen.
    pub(crate) fn contents(&self) -> String {
        self.shown().screen.screen().contents()
    }

    /// All that was written to it.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.shown().raw.clone()
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends the program a signal: `TERM`, `INT`.
    pub(crate) fn signal(&self, name: &str) -> Outcome {
        let id = self.program.id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
        if sent.map_err(text)?.success() {
            Ok(())
        } else {
            Err(format!("no signal {name} to {id}"))
        }
    }

    /// Waits for the program's end.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus, String> {
        let began = Instant::now();
        loop {
            if let Some(status) = self.program.try_wait().map_err(text)? {
                return Ok(status);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("it doesn't end; shown is:\n{}", self.contents()));
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// It shows what it did before the program, and a cursor.
    pub(crate) async fn shows_before(&self) -> Outcome {
        self.wait("what was there before", |screen| {
            let is_left = !screen.alternate_screen() && !screen.hide_cursor();
            is_left && screen.contents().contains(BEFORE)
        })
        .await
    }

    /// It is as it was before the program: its screen, its cursor, its modes.
    pub(crate) async fn is_clean(&self) -> Outcome {
        self.shows_before().await?;
        let modes = tcgetattr(&self.theirs).map_err(text)?.local_modes;
        if modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG) {
            return Ok(());
        }
        Err(format!("its modes are {modes:?}"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended already can't be killed.
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}

fn cells(count: u16) -> Result<NonZeroU16, String> {
    NonZeroU16::new(count).ok_or_else(|| "a terminal without cells".to_owned())
}

fn set_size(terminal: &impl std::os::fd::AsFd, (columns, rows): (u16, u16)) -> Outcome {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).map_err(text)
}

/// Takes in what is written, to its end.
fn read(mut from: File, shown: &Mutex<Shown>) {
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.screen.process(&bytes[..count]);
        shown.raw.extend_from_slice(&bytes[..count]);
    }
}
