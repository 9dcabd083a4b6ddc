//! Requests.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};

use super::{Body, Error, Mainstay, Response, Upstream};
use crate::shown::{Names, Url, without_secrets};

/// A request that can be sent: [`Mainstay::execute`]. Shown for debugging, it keeps to itself what may be secret: values of fields, a query, the body.
pub struct Request {
    pub(super) method: Method,
    pub(super) destination: Destination,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    pub(super) timeout: Option<Duration>,
    pub(super) key: Option<HeaderValue>,
    pub(super) idempotent: bool,
}

/// Where a request is to go.
#[derive(Clone)]
pub(super) enum Destination {
    Url(Uri),
    Path(Upstream, Uri),
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, destination, headers, body, timeout, key, idempotent } = self;
        let mut shown = f.debug_struct("Request");
        shown.field("method", method);
        if let Destination::Path(upstream, _) = destination {
            shown.field("upstream", &upstream.name());
        }
        shown.field("url", &Url(destination.url())).field("headers", &Names(headers));
        shown.field("body", body).field("timeout", timeout).field("key", key);
        shown.field("idempotent", idempotent).finish()
    }
}

impl Destination {
    pub(super) const fn url(&self) -> &Uri {
        match self {
            Self::Url(url) | Self::Path(_, url) => url,
        }
    }
}

impl Request {
    /// Its method.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.method
    }

    /// Its URL, or its path where it was made for an [`Upstream`].
    #[must_use]
    pub const fn url(&self) -> &Uri {
        self.destination.url()
    }

    /// Its header fields.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Its header fields, to be changed.
    #[must_use]
    pub const fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// Its body.
    #[must_use]
    pub const fn body(&self) -> &Body {
        &self.body
    }

    /// Whether there is no body.
    #[cfg(feature = "websocket")]
    pub(crate) fn has_no_body(&self) -> bool {
        self.body.is_empty()
    }

    /// With another URL, that is made of its own.
    #[cfg(feature = "websocket")]
    pub(crate) fn map_url(
        &mut self,
        change: impl FnOnce(&Uri) -> Result<Uri, http::Error>,
    ) -> Result<(), Error> {
        let (Destination::Url(url) | Destination::Path(_, url)) = &mut self.destination;
        *url = change(url).map_err(|error| {
            Error::wrong_request(format!("{:?} isn't a URL", Url(url)), Some(error.into()))
        })?;
        Ok(())
    }

    /// Its idempotency key.
    #[cfg(feature = "outbox")]
    pub(crate) const fn key(&self) -> Option<&HeaderValue> {
        self.key.as_ref()
    }

    /// Whether it names an upstream, and no URL.
    #[cfg(feature = "outbox")]
    pub(crate) const fn names_an_upstream(&self) -> bool {
        matches!(self.destination, Destination::Path(..))
    }

    /// Whether that it may be done twice is known by nothing but its having been said.
    #[cfg(feature = "outbox")]
    pub(crate) const fn is_idempotent_by_word(&self) -> bool {
        self.idempotent && self.key.is_none()
    }

    /// Its head and its body, if that is here as a whole.
    #[cfg(feature = "outbox")]
    pub(crate) fn into_stored(self) -> (http::request::Parts, Option<bytes::Bytes>) {
        let mut head = http::Request::new(()).into_parts().0;
        head.uri = self.destination.url().clone();
        (head.method, head.headers) = (self.method, self.headers);
        (head, self.body.into_whole())
    }

    /// A second one like it, if its body is here as a whole.
    #[must_use]
    pub fn try_clone(&self) -> Option<Self> {
        Some(Self {
            method: self.method.clone(),
            destination: self.destination.clone(),
            headers: self.headers.clone(),
            body: self.body.try_clone()?,
            timeout: self.timeout,
            key: self.key.clone(),
            idempotent: self.idempotent,
        })
    }
}

/// A request in the making. What is wrong with it is told when it is sent or built.
///
/// ```no_run
/// # async fn example(client: mainstay::Mainstay) -> Result<(), mainstay::Error> {
/// use std::time::Duration;
///
/// let response = client
///     .post("https://pay.example/charges")
///     .header("accept", "application/json")
///     .bearer_auth("token")
///     .idempotency_key("order-7")
///     .timeout(Duration::from_secs(20))
///     .body(r#"{"amount":5}"#)
///     .send()
///     .await?;
/// # Ok(()) }
/// ```
#[derive(Debug)]
#[must_use = "a request that isn't sent does nothing"]
pub struct RequestBuilder {
    client: Mainstay,
    request: Result<Request, Error>,
}

impl RequestBuilder {
    pub(super) fn to(client: Mainstay, method: Method, url: &str) -> Self {
        let request = match Uri::try_from(url) {
            Ok(uri) => Ok(Request::new(method, Destination::Url(uri))),
            Err(error) => Err(Error::wrong_request(
                format!("{:?} isn't a URL", without_secrets(url)),
                Some(error.into()),
            )),
        };
        Self { client, request }
    }

    pub(super) fn within(upstream: &Upstream, method: Method, path: &str) -> Self {
        let request = match Uri::try_from(path) {
            Ok(uri) if path.starts_with('/') => {
                Ok(Request::new(method, Destination::Path(upstream.clone(), uri)))
            }
            Ok(_) => Err(Error::wrong_request(
                format!("{:?} isn't a path: it begins with no slash", without_secrets(path)),
                None,
            )),
            Err(error) => Err(Error::wrong_request(
                format!("{:?} isn't a path", without_secrets(path)),
                Some(error.into()),
            )),
        };
        Self { client: upstream.client.clone(), request }
    }

    fn change(mut self, change: impl FnOnce(&mut Request) -> Result<(), Error>) -> Self {
        if let Ok(request) = &mut self.request
            && let Err(error) = change(request)
        {
            self.request = Err(error);
        }
        self
    }

    /// Adds a header field. `Host` is the endpoint's own, unless the policy says otherwise.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.change(|request| {
            let wrong = |what: &str, error: http::Error| {
                Error::wrong_request(
                    format!("that can't be the {what} of a header field"),
                    Some(error.into()),
                )
            };
            let name = name.try_into().map_err(|error| wrong("name", error.into()))?;
            let value = value.try_into().map_err(|error| wrong("value", error.into()))?;
            request.headers.append(name, value);
            Ok(())
        })
    }

    /// Sets header fields; those of the same names that were there before go.
    pub fn headers(self, headers: HeaderMap) -> Self {
        self.change(|request| {
            for name in headers.keys() {
                request.headers.remove(name);
            }
            request.headers.extend(headers);
            Ok(())
        })
    }

    /// Adds `Authorization: Bearer`, marked as sensitive.
    pub fn bearer_auth(self, token: impl AsRef<str>) -> Self {
        let value = HeaderValue::try_from(format!("Bearer {}", token.as_ref()));
        self.change(|request| {
            // The error says nothing of the value.
            let mut value = value.map_err(|_| {
                Error::wrong_request("that token can't be in a header field".to_owned(), None)
            })?;
            value.set_sensitive(true);
            request.headers.insert(header::AUTHORIZATION, value);
            Ok(())
        })
    }

    /// Adds a parameter to the query, percent-encoded.
    pub fn query(self, name: &str, value: &str) -> Self {
        self.change(|request| {
            let url = match &mut request.destination {
                Destination::Url(url) | Destination::Path(_, url) => url,
            };
            *url = with_parameter(url, name, value)?;
            Ok(())
        })
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<Body>) -> Self {
        self.change(|request| {
            request.body = body.into();
            Ok(())
        })
    }

    /// Sets the body to `value` as JSON, and `Content-Type` unless it is said already.
    #[cfg(feature = "json")]
    pub fn json<T: serde::Serialize + ?Sized>(self, value: &T) -> Self {
        self.change(|request| {
            let text = serde_json::to_vec(value).map_err(|error| {
                Error::wrong_request(
                    "the value can't be written as JSON".to_owned(),
                    Some(error.into()),
                )
            })?;
            request.body = text.into();
            let json = HeaderValue::from_static("application/json");
            request.headers.entry(header::CONTENT_TYPE).or_insert(json);
            Ok(())
        })
    }

    /// From the call's start to the head of its answer, all attempts and waits included, in place of the policy's `total_timeout`; a
    /// longer one too, up to 24 h. The body of the answer may take as long as it moves (`body_idle_timeout`).
    pub fn timeout(self, time: Duration) -> Self {
        self.change(|request| {
            request.timeout = Some(time);
            Ok(())
        })
    }

    /// Says that the server does a request with this key once, however often it comes: then it may be sent again whatever its method.
    /// The key goes into the first of the policy's `idempotency_headers`, `Idempotency-Key` by default.
    pub fn idempotency_key(self, key: impl AsRef<str>) -> Self {
        let value = HeaderValue::try_from(key.as_ref());
        self.change(|request| {
            let value = value.map_err(|error| {
                Error::wrong_request(
                    "that key can't be in a header field".to_owned(),
                    Some(error.into()),
                )
            })?;
            request.key = Some(value);
            Ok(())
        })
    }

    /// Says that this request may be done twice, whatever its method: a POST that only reads, for one. Wrongly said, a write is doubled.
    pub fn idempotent(self) -> Self {
        self.change(|request| {
            request.idempotent = true;
            Ok(())
        })
    }

    /// The request, to be sent by [`Mainstay::execute`].
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn build(self) -> Result<Request, Error> {
        self.request
    }

    pub(crate) fn into_parts(self) -> (Mainstay, Result<Request, Error>) {
        (self.client, self.request)
    }

    /// Sends it, and gives the head of its answer; see [`Mainstay::execute`].
    ///
    /// # Errors
    ///
    /// What is wrong with the request, or that there is no answer.
    pub async fn send(self) -> Result<Response, Error> {
        let Self { client, request } = self;
        client.execute(request?).await
    }
}

impl Request {
    fn new(method: Method, destination: Destination) -> Self {
        Self {
            method,
            destination,
            headers: HeaderMap::new(),
            body: Body::empty(),
            timeout: None,
            key: None,
            idempotent: false,
        }
    }
}

fn with_parameter(url: &Uri, name: &str, value: &str) -> Result<Uri, Error> {
    let mut text = url.to_string();
    text.push(if url.query().is_some() { '&' } else { '?' });
    encode(&mut text, name);
    text.push('=');
    encode(&mut text, value);
    Uri::try_from(text).map_err(|error| {
        Error::wrong_request("the URL is too long with this query".to_owned(), Some(error.into()))
    })
}

/// Everything but letters, digits, `-`, `.`, `_` and `~` (RFC 3986, section 2.3) as percent and two digits.
fn encode(text: &mut String, part: &str) {
    for byte in part.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain { text.push(char::from(byte)) } else { text.push_str(&PERCENT[usize::from(byte)]) }
    }
}

static PERCENT: LazyLock<Vec<String>> =
    LazyLock::new(|| (0..=255u8).map(|byte| format!("%{byte:02X}")).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded_and_added_one_by_one() {
        let url = with_parameter(&Uri::from_static("http://a/b"), "q", "a b&c=ü").unwrap();
        let url = with_parameter(&url, "page", "2").unwrap();
        assert_eq!(url, "http://a/b?q=a%20b%26c%3D%C3%BC&page=2");
    }

    #[test]
    fn the_first_thing_that_is_wrong_is_told() {
        let client = Mainstay::new();
        let error = client.get("http://a/ b").header("x", "y").build().unwrap_err();
        assert_eq!(error.to_string(), "\"http://a/ b\" isn't a URL");
        let error = client.get("http://a/").header("x y", "y").body("z").build().unwrap_err();
        assert!(error.is_builder());
        let secret = client.get("http://a/").bearer_auth("se\ncret").build().unwrap_err();
        assert!(!format!("{secret:?}").contains("cret"));
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let client = Mainstay::new();
        let asked = client.post("http://me:hush@a/b?hush").header("cookie", "hush").body("hush");
        let shown = format!("{asked:?}");
        let wanted =
            "url: http://[redacted]@a/b?[redacted], headers: [\"cookie\"], body: Body(4 bytes)";
        assert!(shown.contains(wanted) && !shown.contains("hush"), "{shown}");
        let error = client.get("http://a b/?hush").build().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
    }
}
