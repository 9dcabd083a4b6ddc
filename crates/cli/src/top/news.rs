//! What the threads around the model tell it: each waits for one thing.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender};
use std::thread;

use ratatui::crossterm::event::{self, Event, KeyEvent, KeyEventKind};
use tokio::signal::unix::{SignalKind, signal};

use super::ask;
use super::follow::{self, Followed};
use super::model::wish::{Answer, Wish};
use super::told::Told;
use crate::admin::Place;
use crate::admin::live::Live;

/// News, and wishes, that wait for each other's end.
pub(crate) const WAITING: usize = 128;

/// Exit codes of who was ended by a signal begin here, as in a shell.
const SIGNALLED: u8 = 128;

pub(crate) enum News {
    Told(Told),
    /// Something was told that isn't understood.
    Unread(String),
    /// The stream is gone, and why.
    Lost(String),
    Answer(Wish, Result<Answer, String>),
    Key(KeyEvent),
    Resized,
    /// The shell goes on with it.
    Continued,
    /// It should stop until then.
    Stop,
    /// It should end, with this exit code.
    End(u8),
}

/// Starts all of them.
///
/// # Errors
///
/// The system gives no thread, or no signals.
pub(crate) fn spawn(
    place: &Place,
    live: Live,
    wishes: Receiver<Wish>,
    tell: &SyncSender<News>,
) -> io::Result<()> {
    spawn_signals(tell)?;
    spawn_follow(place, live, tell)?;
    spawn_ask(place, wishes, tell)?;
    spawn_keys(tell)
}

/// Starts the one that follows the stream.
///
/// # Errors
///
/// The system gives no thread.
pub(crate) fn spawn_follow(place: &Place, live: Live, tell: &SyncSender<News>) -> io::Result<()> {
    let (place, tell) = (place.clone(), tell.clone());
    thread::Builder::new().name("follow".to_owned()).spawn(move || {
        follow::follow(&place, live, |followed| {
            let news = match followed {
                Followed::Block(block) => match follow::read(&block) {
                    Ok(Some(told)) => News::Told(told),
                    Ok(None) => return true,
                    Err(why) => News::Unread(why),
                },
                Followed::Lost(why) => News::Lost(why),
            };
            tell.send(news).is_ok()
        });
    })?;
    Ok(())
}

fn spawn_ask(place: &Place, wishes: Receiver<Wish>, tell: &SyncSender<News>) -> io::Result<()> {
    let (place, tell) = (place.clone(), tell.clone());
    thread::Builder::new().name("ask".to_owned()).spawn(move || {
        for wish in wishes {
            let answer = ask::answer(&place, &wish);
            if tell.send(News::Answer(wish, answer)).is_err() {
                return;
            }
        }
    })?;
    Ok(())
}

fn spawn_keys(tell: &SyncSender<News>) -> io::Result<()> {
    let tell = tell.clone();
    thread::Builder::new().name("keys".to_owned()).spawn(move || {
        loop {
            let news = match event::read() {
                Ok(Event::Key(key)) if key.kind != KeyEventKind::Release => News::Key(key),
                Ok(Event::Resize(..)) => News::Resized,
                Ok(_) => continue,
                // The terminal is gone: so is whoever looks.
                Err(_) => News::End(1),
            };
            let is_end = matches!(news, News::End(_));
            if tell.send(news).is_err() || is_end {
                return;
            }
        }
    })?;
    Ok(())
}

/// Signals that end it give the terminal back first; so does the one that stops it.
fn spawn_signals(tell: &SyncSender<News>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listen = |kind| {
        let _inside = runtime.enter();
        signal(kind)
    };
    let (mut hang_up, mut interrupt) =
        (listen(SignalKind::hangup())?, listen(SignalKind::interrupt())?);
    let (mut quit, mut terminate) = (listen(SignalKind::quit())?, listen(SignalKind::terminate())?);
    let stop = SignalKind::from_raw(rustix::process::Signal::TSTP.as_raw());
    let goes_on = SignalKind::from_raw(rustix::process::Signal::CONT.as_raw());
    let (mut stop, mut goes_on) = (listen(stop)?, listen(goes_on)?);
    let tell = tell.clone();
    let ended = |kind: SignalKind| {
        News::End(SIGNALLED + u8::try_from(kind.as_raw_value()).unwrap_or_default())
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async {
            loop {
                let news = tokio::select! {
                    _ = hang_up.recv() => ended(SignalKind::hangup()),
                    _ = interrupt.recv() => ended(SignalKind::interrupt()),
                    _ = quit.recv() => ended(SignalKind::quit()),
                    _ = terminate.recv() => ended(SignalKind::terminate()),
                    _ = stop.recv() => News::Stop,
                    _ = goes_on.recv() => News::Continued,
                };
                if tell.send(news).is_err() {
                    return;
                }
            }
        });
    })?;
    Ok(())
}
