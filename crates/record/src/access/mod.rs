//! The access log: one line for each request that came over a listener, whatever became of it.
//!
//! In the combined format, which everybody's tools read, or as JSON. A line never holds up its request ([`crate::spool`]). The
//! query is never written, and of the request's fields nothing, unless the settings ask for `Referer` and `User-Agent`.

mod line;
mod out;
#[cfg(test)]
mod tests;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::CallId;
use crate::file::RecordFile;
use crate::spool::Spool;

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AccessFormat {
    /// `client - - [time] "request" status bytes "referer" "agent"`, as Apache and nginx have it. Default.
    #[default]
    Combined,
    /// One JSON object a line.
    Json,
}

/// Where lines go, and how they look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessOptions {
    /// The file and its rotation; `None`: standard output.
    pub file: Option<RecordFile>,
    /// How they look.
    pub format: AccessFormat,
    /// Whether `Referer`, without its query, and `User-Agent` are in them.
    pub headers: bool,
}

/// A request whose head has come.
#[derive(Clone, Copy, Debug)]
pub struct AccessRequest<'a> {
    /// Who sent it.
    pub client: IpAddr,
    /// Whether over TLS.
    pub secure: bool,
    /// Its method.
    pub method: &'a str,
    /// Its path, without the query.
    pub path: &'a str,
    /// The protocol in which it came.
    pub version: http::Version,
    /// When, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// `Referer`.
    pub referer: Option<&'a [u8]>,
    /// `User-Agent`.
    pub agent: Option<&'a [u8]>,
}

/// How it was answered.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessAnswer {
    /// The status; 499, as nginx has it, where the client left before there was one.
    pub status: u16,
    /// Bytes of the body that were handed on.
    pub bytes: u64,
    /// From the request's head to the end of the answer.
    pub took: Duration,
    /// The call's id, if it became a call.
    pub call: Option<CallId>,
    /// The call's attempts.
    pub attempts: Option<u16>,
}

/// A line that waits for its answer.
#[derive(Debug, Default)]
pub struct AccessLine {
    text: Vec<u8>,
    /// Where the answer's part goes.
    middle: usize,
}

/// Takes lines of requests, until it is dropped.
#[derive(Debug)]
pub struct AccessLog {
    options: AccessOptions,
    spool: Spool,
}

impl AccessLog {
    /// # Errors
    ///
    /// No thread can be started. A file that can't be written is told on standard error, and tried again.
    pub(crate) fn new(options: AccessOptions) -> io::Result<Self> {
        let spool = match &options.file {
            Some(file) => Spool::new("mainstay-access", out::File::new(file.clone()))?,
            None => Spool::new("mainstay-access", out::Stdout)?,
        };
        Ok(Self { options, spool })
    }

    /// Where lines go, and how they look.
    #[must_use]
    pub const fn options(&self) -> &AccessOptions {
        &self.options
    }

    /// Begins a request's line. The room of a line that was written before is used again.
    pub fn begin(&self, line: &mut AccessLine, request: &AccessRequest<'_>) {
        self.options.begin(line, request);
    }

    /// Takes the line, or drops it and counts that.
    pub fn end(&self, line: &AccessLine, answer: &AccessAnswer) {
        self.spool.write(|out| self.options.end(line, answer, out));
    }

    /// Lines that were written.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.spool.written()
    }

    /// Lines that were dropped: they came too fast, or couldn't be written.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.spool.dropped()
    }

    pub(crate) fn flush(&self, at_most: Duration) {
        self.spool.flush(at_most);
    }
}

impl AccessOptions {
    fn begin(&self, line: &mut AccessLine, request: &AccessRequest<'_>) {
        let fields = self.headers.then_some((request.referer, request.agent));
        let (referer, agent) = fields.unwrap_or_default();
        let request = AccessRequest { referer, agent, ..*request };
        let (before, after): (Write, Write) = match self.format {
            AccessFormat::Combined => (line::combined_before, line::combined_after),
            AccessFormat::Json => (line::json_before, line::json_after),
        };
        line.text.clear();
        before(&mut line.text, &request);
        line.middle = line.text.len();
        after(&mut line.text, &request);
    }

    fn end(&self, line: &AccessLine, answer: &AccessAnswer, out: &mut Vec<u8>) {
        let (before, after) = line.text.split_at(line.middle);
        out.extend_from_slice(before);
        match self.format {
            AccessFormat::Combined => line::combined(out, answer),
            AccessFormat::Json => line::json(out, answer),
        }
        out.extend_from_slice(after);
    }
}

type Write = fn(&mut Vec<u8>, &AccessRequest<'_>);

impl AccessLine {
    /// Bytes that it holds, written or not.
    #[must_use]
    pub fn room(&self) -> usize {
        self.text.capacity()
    }
}
