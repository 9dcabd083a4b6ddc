//! The head of a request or an answer as it is stored: JSON, so that an application can write one by SQL and a person can read it.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, request, response};
use serde::{Deserialize, Serialize};

/// A head. A request has method and target, an answer has a status.
///
/// Shown for debugging, it keeps to itself what may be secret: the values of fields and a target's query.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredHead {
    /// Of a request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Of a request, in origin form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Of an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The fields, in their order.
    #[serde(default)]
    pub fields: Vec<Field>,
}

/// A field: its name, and its value. One that isn't UTF-8 is in hexadecimal digits. Shown for debugging, the value is its length alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// As nearly all are.
    Text(String, String),
    /// Bytes that are no text.
    Bytes {
        /// The field's name.
        name: String,
        /// Its value, in hexadecimal digits.
        hex: String,
    },
}

impl Field {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        let (Self::Text(name, _) | Self::Bytes { name, .. }) = self;
        name
    }

    const fn value_bytes(&self) -> usize {
        match self {
            Self::Text(_, value) => value.len(),
            Self::Bytes { hex, .. } => hex.len() / 2,
        }
    }
}

impl fmt::Debug for StoredHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, target, status, fields } = self;
        let target = target.as_deref().map(without_query);
        let mut shown = f.debug_struct("StoredHead");
        shown.field("method", method).field("target", &target);
        shown.field("status", status).field("fields", fields).finish()
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} bytes", self.name().escape_debug(), self.value_bytes())
    }
}

/// A target as it may be shown: a query may hold secrets.
pub(crate) fn without_query(target: &str) -> Cow<'_, str> {
    match target.split_once('?') {
        Some((path, _)) => Cow::Owned(format!("{path}?[redacted]")),
        None => Cow::Borrowed(target),
    }
}

/// A stored head that isn't one of HTTP's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeadError(String);

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HeadError {}

impl StoredHead {
    /// Of a request.
    #[must_use]
    pub fn of_request(head: &request::Parts) -> Self {
        Self {
            method: Some(head.method.as_str().to_owned()),
            target: Some(
                head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned(),
            ),
            status: None,
            fields: stored(&head.headers),
        }
    }

    /// Of an answer.
    #[must_use]
    pub fn of_answer(head: &response::Parts) -> Self {
        Self {
            status: Some(head.status.as_u16()),
            fields: stored(&head.headers),
            ..Self::default()
        }
    }

    /// As a request's.
    ///
    /// # Errors
    ///
    /// What of it HTTP doesn't know.
    pub fn to_request(&self) -> Result<request::Parts, HeadError> {
        let wrong = |what: &str, given: &str| HeadError(format!("the {what} {given:?} isn't one"));
        let method = self.method.as_deref().ok_or(HeadError("there is no method".into()))?;
        let target = self.target.as_deref().ok_or(HeadError("there is no target".into()))?;
        let mut head = http::Request::new(()).into_parts().0;
        head.method = Method::try_from(method).map_err(|_| wrong("method", method))?;
        head.uri = Uri::try_from(target).map_err(|_| wrong("target", &without_query(target)))?;
        head.headers = self.headers()?;
        Ok(head)
    }

    /// As an answer's.
    ///
    /// # Errors
    ///
    /// What of it HTTP doesn't know.
    pub fn to_answer(&self) -> Result<response::Parts, HeadError> {
        let mut head = http::Response::new(()).into_parts().0;
        let status = self.status.ok_or(HeadError("there is no status".into()))?;
        head.status = StatusCode::from_u16(status)
            .map_err(|_| HeadError(format!("the status {status} isn't one")))?;
        head.headers = self.headers()?;
        Ok(head)
    }

    /// The fields.
    fn headers(&self) -> Result<HeaderMap, HeadError> {
        let mut headers = HeaderMap::with_capacity(self.fields.len());
        for field in &self.fields {
            let (name, value) = match field {
                Field::Text(name, value) => (name, HeaderValue::from_bytes(value.as_bytes()).ok()),
                Field::Bytes { name, hex } => {
                    (name, unhex(hex).and_then(|bytes| HeaderValue::from_bytes(&bytes).ok()))
                }
            };
            let known = HeaderName::try_from(name.as_str()).ok().zip(value);
            let (name, value) =
                known.ok_or_else(|| HeadError(format!("the field {name:?} isn't one")))?;
            headers.append(name, value);
        }
        Ok(headers)
    }

    /// Its JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers alone: there is nothing in it that can't be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Reads its JSON.
    ///
    /// # Errors
    ///
    /// It isn't.
    pub fn of_json(text: &[u8]) -> Result<Self, HeadError> {
        serde_json::from_slice(text).map_err(|error| HeadError(error.to_string()))
    }

    /// For whoever looks: the values of fields that carry secrets are taken out, and a target's query, which may hold some.
    #[must_use]
    pub fn redacted(mut self) -> Self {
        self.target = self.target.as_deref().map(|target| without_query(target).into_owned());
        for field in &mut self.fields {
            if is_secret(field.name()) {
                *field = Field::Text(field.name().to_owned(), "[redacted]".to_owned());
            }
        }
        self
    }
}

/// Whether a field's value is nobody's business: credentials by RFC 9110 and 6265, and what is named like one.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    const KNOWN: [&str; 5] =
        ["authorization", "proxy-authorization", "cookie", "set-cookie", "www-authenticate"];
    const LIKE: [&str; 6] = ["key", "token", "secret", "password", "signature", "credential"];
    let name = name.to_ascii_lowercase();
    KNOWN.contains(&name.as_str())
        || (name != "idempotency-key" && LIKE.iter().any(|like| name.contains(like)))
}

fn stored(headers: &HeaderMap) -> Vec<Field> {
    let field = |(name, value): (&HeaderName, &HeaderValue)| {
        let name = name.as_str().to_owned();
        match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => Field::Text(name, text.to_owned()),
            Err(_) => Field::Bytes { name, hex: hex(value.as_bytes()) },
        }
    };
    headers.iter().map(field).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_comes_back_as_it_was() {
        let request = http::Request::builder()
            .method("POST")
            .uri("/a/b?c=d")
            .header("x-a", "1")
            .header("x-a", "ü")
            .header("x-b", HeaderValue::from_bytes(b"\xff\x80").unwrap())
            .body(())
            .unwrap();
        let head = request.into_parts().0;
        let json = StoredHead::of_request(&head).to_json();
        let back = StoredHead::of_json(&json).unwrap().to_request().unwrap();
        assert_eq!((back.method, back.uri), (head.method, head.uri));
        assert_eq!(back.headers, head.headers);
    }

    #[test]
    fn what_http_does_not_know_is_named() {
        let check = |json: &str, wanted: &str| {
            let head = StoredHead::of_json(json.as_bytes()).unwrap();
            assert_eq!(head.to_request().unwrap_err().to_string(), wanted);
        };
        check("{}", "there is no method");
        check(r#"{"method":"POST"}"#, "there is no target");
        check(r#"{"method":"a b","target":"/"}"#, "the method \"a b\" isn't one");
        let fields = r#"{"method":"POST","target":"/","fields":[["a b","c"]]}"#;
        check(fields, "the field \"a b\" isn't one");
        assert!(StoredHead::of_json(br#"{"methods":"POST"}"#).is_err());
    }

    #[test]
    fn a_query_is_taken_out_as_a_whole() {
        let shown = |target: &str| {
            let head = StoredHead { target: Some(target.into()), ..StoredHead::default() };
            head.redacted().target.unwrap()
        };
        assert_eq!(shown("/orders?token=a?b"), "/orders?[redacted]");
        assert_eq!(shown("/orders"), "/orders");
    }

    #[test]
    fn neither_values_nor_a_query_are_shown_for_debugging() {
        let bytes = Field::Bytes { name: "x-b".into(), hex: "ff80".into() };
        let head = StoredHead {
            method: Some("POST".into()),
            target: Some("/orders?hush".into()),
            fields: vec![Field::Text("cookie".into(), "hush".into()), bytes],
            ..StoredHead::default()
        };
        let wanted = "StoredHead { method: Some(\"POST\"), target: Some(\"/orders?[redacted]\"), status: None, \
                      fields: [cookie: 4 bytes, x-b: 2 bytes] }";
        assert_eq!(format!("{head:?}"), wanted);
    }

    #[test]
    fn secrets_are_taken_out_and_the_rest_is_left() {
        let names = ["Authorization", "cookie", "x-api-key", "idempotency-key", "content-type"];
        let fields = names.map(|name| Field::Text(name.into(), "v".into()));
        let head = StoredHead { fields: fields.into(), ..StoredHead::default() }.redacted();
        let left = head.fields.iter().map(|field| match field {
            Field::Text(_, value) => value.as_str(),
            Field::Bytes { .. } => "bytes",
        });
        assert_eq!(left.collect::<Vec<_>>(), ["[redacted]", "[redacted]", "[redacted]", "v", "v"]);
    }
}
