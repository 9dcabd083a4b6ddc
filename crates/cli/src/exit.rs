//! How a command fails.

use std::fmt;
use std::io::{self, Write as _};

use mainstay_config::Errors;

/// A command's error: a message, and the exit code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) message: String,
    pub(crate) code: u8,
}

impl Failure {
    /// Something didn't work: exit code 1.
    pub(crate) fn of(message: impl fmt::Display) -> Self {
        Self { message: format!("error: {message}"), code: 1 }
    }

    /// What the user gave is wrong: exit code 2.
    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self { message: format!("error: {message}"), code: 2 }
    }

    /// Settings are wrong: exit code 2. Each mistake says that it is an error, and where.
    pub(crate) fn settings(errors: &Errors) -> Self {
        let list = errors.to_string();
        let count = match errors.list().len() {
            1 => String::new(),
            count => format!("\n\n{count} mistakes"),
        };
        Self { message: format!("{}{count}", list.trim_end()), code: 2 }
    }
}

/// Writes to stdout. A reader that has seen enough (`| head`) is no error.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(self::text),
    }
}

/// For `map_err`: the error and its causes, in a line.
pub(crate) fn text(error: impl std::error::Error) -> Failure {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    Failure::of(message)
}
