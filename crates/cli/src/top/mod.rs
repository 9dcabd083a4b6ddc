//! `mainstay top`: the dashboard in a terminal, by keyboard, over the admin address; without a terminal, lines.
//!
//! ```text
//!   follow (the live stream) ─┐                     ┌─▶ draw ─▶ screen
//!   keys, signals ────────────┼─▶ News ─▶ model ────┤
//!   ask (answers) ────────────┘                     └─▶ wishes ─▶ ask
//! ```
//!
//! One thread has the model and the terminal; the others wait for something each and tell it. What they tell goes through one
//! bounded channel: if drawing is slow, the stream's reader waits, and the address tells what was lost thereby.

mod ask;
mod asked;
mod draw;
mod follow;
mod model;
mod news;
mod plain;
mod screen;
#[cfg(test)]
mod tests;
mod told;
mod words;

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use crate::admin::Place;
use crate::admin::live::{Block, Live};
use crate::args::Top;
use crate::exit::{Failure, text};
use crate::paper::Paper;
use follow::Followed;
use model::known::Link;
use model::{Leave, Model};
use news::{News, WAITING};
use plain::Plain;
use screen::Screen;

/// The shortest time between two drawings: ten a second are as many as an eye follows.
const FRAME: Duration = Duration::from_millis(100);

/// The longest: what counts down is seen to do so.
const STILL: Duration = Duration::from_millis(250);

/// News that are taken in before the next drawing.
const MOST_AT_ONCE: usize = 512;

pub(crate) fn run(args: &Top) -> Result<ExitCode, Failure> {
    let place = Place::of(&args.admin)?;
    let live = follow::open(&place)?;
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal() && !is_dumb;
    match (args.json, args.once) {
        (true, true) => document(live),
        (true, false) => objects(&place, live),
        (false, true) => block(&place, live),
        (false, false) if is_terminal => watch(&place, live),
        (false, false) => lines(&place, live),
    }
}

/// The views, in the terminal.
fn watch(place: &Place, live: Live) -> Result<ExitCode, Failure> {
    let mut screen = Screen::take().map_err(text)?;
    let (tell, told) = sync_channel(WAITING);
    let (wish, wishes) = sync_channel(WAITING);
    news::spawn(place, live, wishes, &tell).map_err(text)?;
    let mut model = Model::new(Paper::of_stdout(None), place.address.clone());
    let began = Instant::now();
    let mut drawn: Option<Instant> = None;
    loop {
        let since = drawn.map(|drawn| drawn.elapsed());
        if since.is_none_or(|since| since >= FRAME) {
            screen.draw(&mut model).map_err(text)?;
            drawn = Some(Instant::now());
        }
        let news = next(&told, drawn)?;
        model.on_time(millis(began));
        for one in news {
            match one {
                News::Told(told) => model.on_told(told),
                News::Unread(why) => model.say(words::Kind::Warn, why),
                News::Lost(why) => model.on_link(Link::Lost { since: model.at, why }),
                News::Answer(wish, answer) => model.on_answer(&wish, answer),
                News::Key(key) => {
                    model.on_key(key);
                    // The next key means what is there after this one, drawn or not.
                    screen.fit(&mut model).map_err(text)?;
                }
                News::Resized => {}
                News::Continued => screen.retake().map_err(text)?,
                News::Stop => {
                    if !screen.suspend().map_err(text)? {
                        model.say(words::Kind::Warn, "there is no shell to go to".to_owned());
                    }
                }
                News::End(code) => return Ok(ExitCode::from(code)),
            }
            match model.leave.take() {
                Some(Leave::Quit) => return Ok(ExitCode::SUCCESS),
                Some(Leave::Suspend) => screen::ask_to_stop().map_err(text)?,
                None => {}
            }
        }
        while let Some(one) = model.next_wish() {
            if let Err(TrySendError::Full(one) | TrySendError::Disconnected(one)) =
                wish.try_send(one)
            {
                model.on_answer(&one, Err("too much is being asked; it is tried again".to_owned()));
            }
        }
    }
}

/// Waits until something is told or it is time to draw, and gives all that is there.
fn next(told: &Receiver<News>, drawn: Option<Instant>) -> Result<Vec<News>, Failure> {
    let since = drawn.map_or(STILL, |drawn| drawn.elapsed());
    let first = match told.recv_timeout(STILL.saturating_sub(since)) {
        Ok(first) => first,
        Err(RecvTimeoutError::Timeout) => return Ok(Vec::new()),
        Err(RecvTimeoutError::Disconnected) => {
            return Err(Failure::of("nobody tells anything any more"));
        }
    };
    // What comes until the next drawing is due is drawn by it.
    if let Some(drawn) = drawn {
        thread::sleep(FRAME.saturating_sub(drawn.elapsed()));
    }
    let mut news = vec![first];
    news.extend(told.try_iter().take(MOST_AT_ONCE));
    Ok(news)
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Lines for as long as somebody reads them.
fn lines(place: &Place, live: Live) -> Result<ExitCode, Failure> {
    let (tell, told) = sync_channel(WAITING);
    news::spawn_follow(place, live, &tell).map_err(text)?;
    let mut plain = Plain::new(Paper::of_list(None), place.address.clone());
    let began = Instant::now();
    loop {
        let news = next(&told, Some(Instant::now()))?;
        let at = millis(began);
        let mut lines = String::new();
        for one in news {
            lines.push_str(&match one {
                News::Told(told) => plain.on_told(told, at),
                News::Unread(why) => format!("{why}\n"),
                News::Lost(why) => plain.on_lost(&why, at),
                // Nobody types, and nothing is asked.
                _ => String::new(),
            });
        }
        lines.push_str(&plain.on_time(at));
        if !print(&lines)? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// How things are now.
fn block(place: &Place, mut live: Live) -> Result<ExitCode, Failure> {
    let mut plain = Plain::new(Paper::of_list(None), place.address.clone());
    while !plain.has_begun() {
        let block = live.next().map_err(text)?;
        if let Some(told) = follow::read(&block).map_err(Failure::of)? {
            plain.on_told(told, 0);
        }
    }
    print(&plain.block())?;
    Ok(ExitCode::SUCCESS)
}

/// What the address tells at first, as one document.
fn document(mut live: Live) -> Result<ExitCode, Failure> {
    let mut whole = Map::new();
    // The incidents are the last of it; an address that knows none goes on with another state.
    while !whole.contains_key("incidents") {
        let Block { event, data } = live.next().map_err(text)?;
        if event == "state" && whole.contains_key("state") {
            break;
        }
        let data: Value = serde_json::from_str(&data).map_err(text)?;
        // Each is an object that says its version; what is in the list of an event is the event's name.
        let inner = data.get(&event).cloned();
        whole.insert(event, inner.unwrap_or(data));
    }
    let shown = serde_json::to_string_pretty(&whole).map_err(text)?;
    print(&(shown + "\n"))?;
    Ok(ExitCode::SUCCESS)
}

/// What the address tells, an object a line.
fn objects(place: &Place, live: Live) -> Result<ExitCode, Failure> {
    let mut failed = None;
    follow::follow(place, live, |followed| {
        let object = match followed {
            Followed::Block(Block { event, data }) => serde_json::from_str::<Value>(&data)
                .map(|data| json!({ "event": event, "data": data })),
            Followed::Lost(why) => Ok(json!({ "event": "disconnected", "why": why })),
        };
        match object.map_err(text).and_then(|object| print(&format!("{object}\n"))) {
            Ok(goes_on) => goes_on,
            Err(failure) => {
                failed = Some(failure);
                false
            }
        }
    });
    failed.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Writes to stdout, and gives whether somebody still reads it.
fn print(lines: &str) -> Result<bool, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(lines.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(text(error)),
    }
}
