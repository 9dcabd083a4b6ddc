//! The terminal: taken, and given back as it was, however this ends.

use std::io::{self, BufWriter, Stdout};
use std::panic;
use std::process;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::{Position, Rect};
use rustix::process::{Signal, getpgrp, getsid, kill_current_process_group, kill_process};

use super::draw;
use super::model::Model;

/// The exit code of a program that panicked.
const PANICKED: i32 = 101;

/// The terminal while it is ours. It is given back when this is dropped.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    ///
    /// It isn't one, or is gone.
    pub(crate) fn take() -> io::Result<Self> {
        // Whichever thread it is: what is drawn after a panic would hide what it says.
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |told| {
            give_back();
            before(told);
            process::exit(PANICKED);
        }));
        enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(io::stdout())));
        terminal.map(|terminal| Self { terminal }).inspect_err(|_| give_back())
    }

    /// Draws, what changed only.
    pub(crate) fn draw(&mut self, model: &mut Model) -> io::Result<()> {
        self.terminal.draw(|frame| {
            draw::fit(model, frame.area());
            draw::draw(model, frame);
        })?;
        Ok(())
    }

    /// Brings the model's cursors to what can be seen.
    pub(crate) fn fit(&self, model: &mut Model) -> io::Result<()> {
        let size = self.terminal.size()?;
        draw::fit(model, Rect::from((Position::ORIGIN, size)));
        Ok(())
    }

    /// Whoever wrote into the terminal meanwhile, or had another of its modes: all is drawn anew.
    pub(crate) fn retake(&mut self) -> io::Result<()> {
        enter()?;
        // `clear` would ask the terminal where its cursor is, and the answer would go to whoever reads the keys.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Stops until the shell goes on with it; gives false where there is no shell that could.
    pub(crate) fn suspend(&mut self) -> io::Result<bool> {
        if !can_stop() {
            return Ok(false);
        }
        give_back();
        // This one is stopped for good: what was asked for, SIGTSTP, is caught.
        kill_process(rustix::process::getpid(), Signal::STOP)?;
        self.retake().map(|()| true)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

/// Whether somebody could continue it: not where the group is that of the session's first process, whose parent, an SSH server or a
/// container's, knows no jobs.
fn can_stop() -> bool {
    getsid(None).is_ok_and(|session| session != getpgrp())
}

/// Asks all of the foreground's processes to stop, as the terminal does at ctrl-z where it is left to it.
pub(crate) fn ask_to_stop() -> io::Result<()> {
    if can_stop() {
        kill_current_process_group(Signal::TSTP)?;
    }
    Ok(())
}

fn enter() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide).inspect_err(|_| give_back())
}

/// A terminal that is gone can't be given back, and there is nobody to tell.
fn give_back() {
    let _ = execute!(io::stdout(), Show, LeaveAlternateScreen);
    let _ = disable_raw_mode();
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Where this is set, the test is the program that panics.
    const PANICS: &str = "MAINSTAY_TEST_PANICS";

    #[test]
    fn a_panic_gives_the_terminal_back_before_it_says_anything() {
        if std::env::var_os(PANICS).is_some() {
            let _screen = Screen::take().expect("a terminal");
            let panics = std::thread::spawn(|| panic!("as it was told to"));
            drop(panics.join());
            unreachable!("the hook ends the process");
        }
        let itself = std::env::current_exe().expect("a path");
        let name = "top::screen::tests::a_panic_gives_the_terminal_back_before_it_says_anything";
        let command = format!("'{}' --exact {name} --nocapture", itself.display());
        // `script` runs it on a terminal of its own, and passes on its exit code.
        let program =
            Command::new("script").args(["-qec", &command, "/dev/null"]).env(PANICS, "1").output();
        let output = program.expect("script runs");
        let shown = String::from_utf8_lossy(&output.stdout);
        let at =
            |words: &str| shown.find(words).unwrap_or_else(|| panic!("no {words:?}:\n{shown}"));
        assert!(at("\u{1b}[?1049h") < at("\u{1b}[?1049l"), "{shown}");
        assert!(at("\u{1b}[?1049l") < at("as it was told to"), "{shown}");
        assert!(at("\u{1b}[?25h") < at("as it was told to"), "{shown}");
        assert_eq!(output.status.code(), Some(PANICKED));
    }
}
