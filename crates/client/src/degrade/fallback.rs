//! A route's fixed answer.

use std::fmt;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use mainstay_config::settings::Fallback as FallbackConfig;
use mainstay_core::degrade::FallbackSettings;
use mainstay_core::event::DegradedBy;

use super::StandIn;

/// A fixed answer, ready to be given.
#[derive(Debug)]
pub struct Fallback {
    pub(crate) policy: FallbackSettings,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The file of a fixed answer can't be read.
#[derive(Debug)]
pub struct FallbackError {
    /// Which.
    pub file: PathBuf,
    /// Why.
    pub source: io::Error,
}

impl Fallback {
    /// Makes the answer ready; its file, if it has one, is read now.
    ///
    /// # Errors
    ///
    /// [`FallbackError`] when the file can't be read, or has more than 1 MiB.
    pub fn new(settings: &FallbackConfig) -> Result<Self, FallbackError> {
        let body = match (&settings.body, &settings.file) {
            (Some(text), _) => Bytes::copy_from_slice(text.as_bytes()),
            (None, Some(file)) => {
                read(file).map_err(|source| FallbackError { file: file.clone(), source })?
            }
            (None, None) => Bytes::new(),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in &settings.headers {
            // The settings were checked: these are fields.
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                headers.append(name, value);
            }
        }
        let content_type = settings.content_type.as_deref().filter(|_| !body.is_empty());
        if let Some(Ok(value)) = content_type.map(HeaderValue::try_from) {
            headers.insert(header::CONTENT_TYPE, value);
        }
        // Nobody else is to keep what stands for something else.
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        let status = StatusCode::from_u16(settings.status).unwrap_or(StatusCode::OK);
        if !matches!(status.as_u16(), 204 | 304) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        Ok(Self { policy: settings.policy, status, headers, body })
    }

    pub(crate) fn stand_in(&self, head: &Parts) -> StandIn {
        let has_body = head.method != Method::HEAD;
        StandIn {
            by: DegradedBy::Static,
            age: None,
            status: self.status,
            headers: self.headers.clone(),
            body: if has_body { self.body.clone() } else { Bytes::new() },
        }
    }
}

fn read(file: &Path) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    std::fs::File::open(file)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
    }
    Ok(bytes.into())
}

impl fmt::Display for FallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "can't read the fallback {}", self.file.display())
    }
}

impl std::error::Error for FallbackError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// It is held in memory, for each route.
const MOST_BYTES: u64 = 1 << 20;
