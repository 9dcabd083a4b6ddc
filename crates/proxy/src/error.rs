//! Why the proxy doesn't start, or doesn't take new settings.

use std::fmt;
use std::io;
use std::net::SocketAddr;

use mainstay_config::Errors;

use crate::{BindError, CertificateError, ExportError, OutboxError, RouteError, UpstreamError};

/// Why the proxy doesn't start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// An address can't be bound.
    Bind(BindError),
    /// A listener's certificate can't be used.
    Certificate(CertificateError),
    /// Upstreams can't be run by their settings.
    Upstreams(Vec<UpstreamError>),
    /// A route's fixed answer can't be read.
    Route(RouteError),
    /// The admin address can be reached from outside, and no token protects it.
    AdminWithoutToken(SocketAddr),
    /// The outbox can't be opened.
    Outbox(OutboxError),
    /// Nothing can be exported.
    Export(ExportError),
    /// A thread or its runtime can't be made.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(error) => error.fmt(f),
            Self::Certificate(error) => error.fmt(f),
            Self::Upstreams(errors) => list(f, errors),
            Self::Route(error) => error.fmt(f),
            Self::AdminWithoutToken(address) => {
                write!(
                    f,
                    "the admin address {address} isn't loopback and needs a token: set admin.token_env, or 127.0.0.1"
                )
            }
            Self::Outbox(error) => error.fmt(f),
            Self::Export(error) => error.fmt(f),
            Self::Thread(_) => f.write_str("can't start a worker"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind(error) => error.source(),
            Self::Certificate(error) => error.source(),
            Self::Upstreams(errors) => errors.first().and_then(std::error::Error::source),
            Self::Route(error) => error.source(),
            Self::Outbox(error) => error.source(),
            Self::Export(error) => error.source(),
            Self::Thread(error) => Some(error),
            Self::AdminWithoutToken(_) => None,
        }
    }
}

/// Why new settings weren't taken. The old ones go on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ReloadError {
    /// The file is wrong, with everything that is wrong with it.
    File(Errors),
    /// No file is known to read from.
    NoFile,
    /// What couldn't be started couldn't be changed to either.
    Start(StartError),
    /// Something changed that only a restart can change.
    NeedsRestart(&'static str),
    /// The proxy is shutting down.
    Stopping,
}

impl fmt::Display for ReloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(errors) => errors.fmt(f),
            Self::NoFile => f.write_str("the proxy was started without a file"),
            Self::Start(error) => error.fmt(f),
            Self::NeedsRestart(what) => write!(f, "{what} can't change while the proxy runs"),
            Self::Stopping => f.write_str("the proxy is shutting down"),
        }
    }
}

impl std::error::Error for ReloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(error) => error.source(),
            Self::File(_) | Self::NoFile | Self::NeedsRestart(_) | Self::Stopping => None,
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, errors: &[UpstreamError]) -> fmt::Result {
    for (place, error) in errors.iter().enumerate() {
        if place > 0 {
            f.write_str("; ")?;
        }
        write!(f, "{error}")?;
        if let Some(source) = std::error::Error::source(error) {
            write!(f, ": {source}")?;
        }
    }
    Ok(())
}

impl From<BindError> for StartError {
    fn from(error: BindError) -> Self {
        Self::Bind(error)
    }
}

impl From<CertificateError> for StartError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<Vec<UpstreamError>> for StartError {
    fn from(errors: Vec<UpstreamError>) -> Self {
        Self::Upstreams(errors)
    }
}

impl From<OutboxError> for StartError {
    fn from(error: OutboxError) -> Self {
        Self::Outbox(error)
    }
}

impl From<RouteError> for StartError {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}

impl From<StartError> for ReloadError {
    fn from(error: StartError) -> Self {
        Self::Start(error)
    }
}
