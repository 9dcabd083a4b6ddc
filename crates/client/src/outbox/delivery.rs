//! A request that is to be stored, and the row that it becomes.

use std::convert::Infallible;
use std::error::Error;
use std::fmt;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use mainstay_config::settings::Scheme;

use crate::Request;
use crate::library::places::port;
use crate::shown::without_secrets;

/// A write that is to be delivered, in the making. What is wrong with it is told when it is put into the outbox.
///
/// ```
/// use mainstay::outbox::Delivery;
///
/// let order = Delivery::post("/orders")
///     .header("content-type", "application/json")
///     .body(r#"{"item":"tea"}"#)
///     .lane("ann")
///     .key("order-7");
/// assert_eq!(order.row()?.path, "/orders");
/// # Ok::<(), mainstay::outbox::DeliveryError>(())
/// ```
///
/// A [`Request`] of the client and a `http::Request` become one by `try_into`, or where they are put into an outbox.
#[derive(Clone)]
pub struct Delivery(Result<Parts, DeliveryError>);

#[derive(Clone)]
struct Parts {
    method: Method,
    host: Option<String>,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    lane: Option<String>,
    key: Option<String>,
}

/// What the columns of an outbox's table hold of a write; all others have a value of their own.
///
/// Shown for debugging, it keeps to itself what may be secret: the values of fields, a query and the body.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// `method`, text.
    pub method: String,
    /// `host`, text or null.
    pub host: Option<String>,
    /// `path`, text, with a query if there is one.
    pub path: String,
    /// `headers`, JSON as text: an object of texts, or of lists of them.
    pub headers: String,
    /// `body`, bytes.
    pub body: Bytes,
    /// `lane`, text or null.
    pub lane: Option<String>,
    /// `key`, text or null.
    pub key: Option<String>,
}

impl Delivery {
    /// A write of this method to `path`, which begins with a slash and may have a query. The routes of whoever delivers it say which
    /// upstream takes it.
    #[must_use]
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        let path = path.into();
        if matches!(method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE) {
            return wrong(format!("{method} only reads: nobody is there to hear its answer"));
        }
        if !path.starts_with('/') || PathAndQuery::try_from(path.as_str()).is_err() {
            return wrong(format!("{:?} isn't a path", without_secrets(&path)));
        }
        let (host, headers, body, lane, key) = Default::default();
        Self(Ok(Parts { method, host, path, headers, body, lane, key }))
    }

    /// A POST to `path`.
    #[must_use]
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// A PUT to `path`.
    #[must_use]
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// A DELETE of `path`.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn change(mut self, change: impl FnOnce(&mut Parts) -> Result<(), DeliveryError>) -> Self {
        if let Ok(parts) = &mut self.0
            && let Err(error) = change(parts)
        {
            self.0 = Err(error);
        }
        self
    }

    /// Adds a header field. It is stored as text, so that a value that isn't UTF-8 is refused.
    #[must_use]
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.change(|parts| {
            let what = |what| DeliveryError::new(format!("that can't be the {what} of a field"));
            let name = name.try_into().map_err(|_| what("name"))?;
            let value = value.try_into().map_err(|_| what("value"))?;
            parts.headers.append(name, value);
            Ok(())
        })
    }

    /// Sets the body.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.change(|parts| {
            parts.body = body.into();
            Ok(())
        })
    }

    /// Sets the body to `value` as JSON, and `Content-Type` unless it is said already.
    #[must_use]
    pub fn json<T: serde::Serialize + ?Sized>(self, value: &T) -> Self {
        self.change(|parts| {
            let text = serde_json::to_vec(value).map_err(|error| {
                DeliveryError::new(format!("the value can't be written as JSON: {error}"))
            })?;
            parts.body = text.into();
            let json = HeaderValue::from_static("application/json");
            parts.headers.entry(header::CONTENT_TYPE).or_insert(json);
            Ok(())
        })
    }

    /// The host that it is for, with a port unless that is its scheme's own, where routes tell hosts apart. In a
    /// `Courier` it goes where a request for that host would: to the upstream that has it among its endpoints.
    #[must_use]
    pub fn host(self, host: impl Into<String>) -> Self {
        self.change(|parts| {
            let host = host.into();
            let authority = Authority::try_from(host.as_str());
            let authority =
                authority.map_err(|_| DeliveryError::new("that isn't a host".into()))?;
            is_origin(&authority)?;
            parts.host = Some(host);
            Ok(())
        })
    }

    /// What its order is kept by: deliveries with the same lane go one after the other. Default: what the route says.
    #[must_use]
    pub fn lane(self, lane: impl Into<String>) -> Self {
        self.change(|parts| {
            parts.lane = Some(lane.into());
            Ok(())
        })
    }

    /// Its idempotency key, the same in each call: an API that heeds keys carries it out once, however often it comes. Default: one that is made from its id.
    #[must_use]
    pub fn key(self, key: impl Into<String>) -> Self {
        self.change(|parts| {
            let key = key.into();
            if key.is_empty() || HeaderValue::try_from(&key).is_err() {
                return Err(DeliveryError::new("that key can't be in a header field".to_owned()));
            }
            parts.key = Some(key);
            Ok(())
        })
    }

    /// The row that it is in the outbox's table, for an INSERT of one's own.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn row(self) -> Result<Row, DeliveryError> {
        let Parts { method, host, path, headers, body, lane, key } = self.0?;
        let headers = fields(&headers)?;
        Ok(Row { method: method.as_str().to_owned(), host, path, headers, body, lane, key })
    }
}

/// The fields as an object: a text for each name, or a list of them where there are several.
fn fields(headers: &HeaderMap) -> Result<String, DeliveryError> {
    let mut object = serde_json::Map::new();
    for name in headers.keys() {
        let mut values = Vec::new();
        for value in headers.get_all(name) {
            let text = std::str::from_utf8(value.as_bytes()).map_err(|_| {
                DeliveryError::new(format!("the value of the field {name} isn't UTF-8"))
            })?;
            values.push(serde_json::Value::from(text));
        }
        let value = match values.len() {
            1 => values.remove(0),
            _ => values.into(),
        };
        object.insert(name.as_str().to_owned(), value);
    }
    Ok(serde_json::Value::from(object).to_string())
}

fn wrong(what: String) -> Delivery {
    Delivery(Err(DeliveryError::new(what)))
}

/// Whether this says a host, and at most a port beside it. The error doesn't show it: there may be a password in it.
fn is_origin(authority: &Authority) -> Result<Option<u16>, DeliveryError> {
    let wrong = |what: &str| Err(DeliveryError::new(what.to_owned()));
    if authority.as_str().contains('@') {
        return wrong("the host has credentials before it; say them in a header field");
    }
    match port(authority) {
        Some(port) => Ok(port),
        None => wrong("the host's port isn't a number up to 65535"),
    }
}

/// The host of a URI. The table has no column for the scheme, so that the port is said, which tells https from http.
fn host_of(uri: &Uri) -> Result<Option<String>, DeliveryError> {
    let Some(authority) = uri.authority() else { return Ok(None) };
    let scheme = match uri.scheme_str() {
        None => None,
        Some("http") => Some(Scheme::Http),
        Some("https") => Some(Scheme::Https),
        Some(_) => {
            let what = "the URL's scheme is neither http nor https";
            return Err(DeliveryError::new(what.to_owned()));
        }
    };
    let port = is_origin(authority)?.or(scheme.map(Scheme::default_port));
    let host = authority.host();
    Ok(Some(port.map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))))
}

impl<B: Into<Bytes>> TryFrom<http::Request<B>> for Delivery {
    type Error = DeliveryError;

    /// Its host is the URI's, if that has one, or else what its `Host` says.
    fn try_from(request: http::Request<B>) -> Result<Self, DeliveryError> {
        let (mut head, body) = request.into_parts();
        let said = head.headers.remove(header::HOST);
        let said = said.and_then(|host| host.to_str().ok().map(str::to_owned));
        let host = host_of(&head.uri)?.or(said);
        let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let delivery = Self::new(head.method, path).body(body).change(|parts| {
            (parts.host, parts.headers) = (host, head.headers);
            Ok(())
        });
        delivery.0.map(|parts| Self(Ok(parts)))
    }
}

impl TryFrom<Request> for Delivery {
    type Error = DeliveryError;

    /// Its idempotency key is the delivery's. Its timeout is left aside: nobody waits for its answer. One that names an
    /// [`Upstream`](crate::Upstream) by name is refused, and one that is [said](crate::RequestBuilder::idempotent) to be idempotent without a key:
    /// the table has no place for that.
    fn try_from(request: Request) -> Result<Self, DeliveryError> {
        let refused = |what: &str| Err(DeliveryError::new(what.to_owned()));
        if request.names_an_upstream() {
            return refused("the name of an upstream can't be stored; give the request a URL");
        }
        if request.is_idempotent_by_word() {
            return refused(
                "that it may be done twice can't be stored; give it a key, or let its route say it",
            );
        }
        let key = request.key().map(|key| String::from_utf8_lossy(key.as_bytes()).into_owned());
        let (head, body) = request.into_stored();
        let body = body.ok_or_else(|| {
            DeliveryError::new("a body in pieces can't be stored; give it as a whole".to_owned())
        })?;
        let delivery = Self::try_from(http::Request::from_parts(head, body))?;
        Ok(match key {
            Some(key) => delivery.key(key),
            None => delivery,
        })
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(parts) => parts.fmt(f),
            Err(error) => f.debug_tuple("Delivery").field(error).finish(),
        }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.keys().map(HeaderName::as_str).collect();
        let mut shown = f.debug_struct("Delivery");
        shown
            .field("method", &self.method)
            .field("host", &self.host)
            .field("path", &without_secrets(&self.path));
        shown.field("headers", &names).field("body_bytes", &self.body.len());
        shown.field("lane", &self.lane).field("key", &self.key).finish()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Row");
        shown
            .field("method", &self.method)
            .field("host", &self.host)
            .field("path", &without_secrets(&self.path));
        shown.field("headers_bytes", &self.headers.len()).field("body_bytes", &self.body.len());
        shown.field("lane", &self.lane).field("key", &self.key).finish()
    }
}

/// What is wrong with a delivery. Nothing was put into the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError(String);

impl DeliveryError {
    pub(super) const fn new(what: String) -> Self {
        Self(what)
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for DeliveryError {}

impl From<Infallible> for DeliveryError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Body, Mainstay};

    #[test]
    fn a_request_of_the_client_is_stored_as_it_would_have_been_sent() {
        let client = Mainstay::new();
        let request = client.post("https://shop.example/orders?a=b").header("x-tag", "1");
        let request = request.header("x-tag", "2").idempotency_key("k").body("5").build().unwrap();
        let row = Delivery::try_from(request).unwrap().lane("ann").row().unwrap();
        let wanted = Row {
            method: "POST".to_owned(),
            host: Some("shop.example:443".to_owned()),
            path: "/orders?a=b".to_owned(),
            headers: r#"{"x-tag":["1","2"]}"#.to_owned(),
            body: Bytes::from_static(b"5"),
            lane: Some("ann".to_owned()),
            key: Some("k".to_owned()),
        };
        assert_eq!(row, wanted);
    }

    #[test]
    fn what_can_not_be_delivered_is_named_before_it_is_stored() {
        let check = |delivery: Delivery, wanted: &str| {
            assert_eq!(delivery.row().unwrap_err().to_string(), wanted);
        };
        check(Delivery::post("orders").key("k"), "\"orders\" isn't a path");
        check(
            Delivery::new(Method::GET, "/"),
            "GET only reads: nobody is there to hear its answer",
        );
        check(Delivery::put("/").header("a b", "c"), "that can't be the name of a field");
        check(
            Delivery::put("/").host("me:secret@a"),
            "the host has credentials before it; say them in a header field",
        );
        check(Delivery::put("/").key("\n"), "that key can't be in a header field");
        let bytes = HeaderValue::from_bytes(b"\xff").unwrap();
        check(Delivery::put("/").header("x-a", bytes), "the value of the field x-a isn't UTF-8");
        let pieces = Body::new(http_body_util::Full::new(Bytes::from_static(b"5")));
        let request = Mainstay::new().post("http://a/").body(pieces).build().unwrap();
        let error = Delivery::try_from(request).unwrap_err().to_string();
        assert_eq!(error, "a body in pieces can't be stored; give it as a whole");
        let wrong = |request: crate::RequestBuilder, wanted: &str| {
            let error = Delivery::try_from(request.build().unwrap()).unwrap_err().to_string();
            assert_eq!(error, wanted);
        };
        let client =
            Mainstay::from_config_text("[upstream.b]\nendpoints = [\"https://b\"]").unwrap();
        wrong(
            client.upstream("b").unwrap().post("/x"),
            "the name of an upstream can't be stored; give the request a URL",
        );
        wrong(
            client.post("https://b/x").idempotent(),
            "that it may be done twice can't be stored; give it a key, or let its route say it",
        );
        wrong(
            client.post("https://me:secret@b/x"),
            "the host has credentials before it; say them in a header field",
        );
        let keyed = client.post("http://b/x").idempotent().idempotency_key("k").build().unwrap();
        let row = Delivery::try_from(keyed).unwrap().row().unwrap();
        assert_eq!(row.host.as_deref(), Some("b:80"));
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let delivery = Delivery::post("/?hush").header("authorization", "Bearer hush").body("hush");
        let shown = format!("{delivery:?}");
        assert!(shown.contains("authorization") && !shown.contains("hush"), "{shown}");
        let shown = format!("{:?}", delivery.row().unwrap());
        assert!(!shown.contains("hush"), "{shown}");
    }
}
