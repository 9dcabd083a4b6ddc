//! Asks a running proxy's admin address: one request over a socket of its own, bounded in time and size; and reads its live stream.
//!
//! The address is ours and answers whole documents with a known length, so a client for HTTP in general isn't needed. What it
//! does on the wire is in `wire`; `live` reads the one answer that never ends.

pub(crate) mod live;
mod wire;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::args;
use crate::exit::Failure;
pub(crate) use wire::Answer;

/// Where the admin address is, and the token for it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// `host:port`.
    pub(crate) address: String,
    token: Option<String>,
}

/// What is read of a problem document.
#[derive(Deserialize)]
struct Problem {
    detail: String,
}

impl Place {
    /// The place that the arguments name. An address may be a URL, and carry the token in its fragment, as the demo prints it.
    ///
    /// # Errors
    ///
    /// The token's file or variable can't be read, or the token can't be one.
    pub(crate) fn of(admin: &args::Admin) -> Result<Self, Failure> {
        let (address, fragment) = admin.admin.split_once('#').unwrap_or((admin.admin.as_str(), ""));
        let address = address.strip_prefix("http://").unwrap_or(address);
        let address = address.split('/').next().unwrap_or_default();
        let token = match (&admin.token, &admin.token_file, &admin.token_env) {
            (Some(token), _, _) => Some(token.clone()),
            (None, Some(file), _) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| Failure::usage(format!("{}: {error}", file.display())))?;
                Some(text.trim().to_owned())
            }
            (None, None, Some(variable)) => Some(std::env::var(variable).map_err(|error| {
                Failure::usage(format!("--token-env: the variable {variable}: {error}"))
            })?),
            (None, None, None) => fragment.strip_prefix("token=").map(str::to_owned),
        };
        if token.as_ref().is_some_and(|token| token.contains(char::is_control)) {
            return Err(Failure::usage("the token holds control characters"));
        }
        Ok(Self { address: address.to_owned(), token })
    }

    /// Whether there is a token.
    pub(crate) const fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// One request; `body` makes it a POST. Any status is an answer.
    ///
    /// # Errors
    ///
    /// The address can't be asked, or what comes isn't an answer; told in a sentence.
    pub(crate) fn ask(&self, path: &str, body: Option<&str>) -> Result<Answer, String> {
        self.request(if body.is_some() { "POST" } else { "GET" }, path, body)
    }

    fn request(
        &self,
        method: &'static str,
        path: &str,
        body: Option<&str>,
    ) -> Result<Answer, String> {
        let request = wire::Request { place: self, method, path, body, more: "" };
        wire::ask(&request)
            .map_err(|error| format!("the admin address {} can't be asked: {error}", self.address))
    }
}

/// Asks for `path`. Any status is an answer, except that of a wrong token.
pub(crate) fn get(admin: &args::Admin, path: &str) -> Result<Answer, Failure> {
    let place = Place::of(admin)?;
    admitted(&place, place.ask(path, None))
}

/// Has what is at `path` be as `body` says. Any status is an answer, except that of a wrong token.
pub(crate) fn put(admin: &args::Admin, path: &str, body: &str) -> Result<Answer, Failure> {
    let place = Place::of(admin)?;
    admitted(&place, place.request("PUT", path, Some(body)))
}

fn admitted(place: &Place, answer: Result<Answer, String>) -> Result<Answer, Failure> {
    let answer = answer.map_err(|error| unreachable(&error))?;
    match answer.status {
        401 | 403 => Err(Failure::usage(refused(place, &answer))),
        _ => Ok(answer),
    }
}

/// The failure to ask, and what to look at.
pub(crate) fn unreachable(error: &str) -> Failure {
    Failure::of(format!(
        "{error}\n  = is the proxy running, and is this its admin address (--admin)?"
    ))
}

/// Why it refuses to answer at all: statuses 401 and 403.
pub(crate) fn refused(place: &Place, answer: &Answer) -> String {
    match (answer.status, place.has_token()) {
        (401, true) => "the admin address refuses this token".to_owned(),
        (401, false) => "the admin address wants a token: give it with --token, --token-file or \
                         --token-env"
            .to_owned(),
        _ => format!("the admin address refuses the request: {}", detail(answer)),
    }
}

/// What an answer that isn't good says, in its problem document's words where it has one.
pub(crate) fn detail(answer: &Answer) -> String {
    let problem = serde_json::from_slice::<Problem>(&answer.body);
    let text = || String::from_utf8_lossy(&answer.body).trim().to_owned();
    problem.map_or_else(|_| text(), |problem| problem.detail)
}

/// The document in a good answer.
pub(crate) fn document<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    if answer.status != 200 {
        let status = answer.status;
        let message = format!("the admin address answered {status}: {}", detail(answer));
        return Err(if status == 400 { Failure::usage(message) } else { Failure::of(message) });
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        Failure::of(format!("the answer isn't what Mainstay's admin address gives: {error}"))
    })
}

/// A query of these parameters, percent-encoded.
pub(crate) fn query(parameters: &[(&str, String)]) -> String {
    let pairs = parameters.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
    pairs.collect::<Vec<_>>().join("&")
}

/// A name as it may stand in a path or a query.
pub(crate) fn encoded(value: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let letter = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    value.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_holds_any_value() {
        let parameters = [("limit", "3".to_owned()), ("upstream", "a b&c=\u{e9}".to_owned())];
        assert_eq!(query(&parameters), "limit=3&upstream=a%20b%26c%3D%C3%A9");
    }

    #[test]
    fn an_address_may_be_what_the_demo_prints() {
        let of = |admin: &str, token: Option<&str>| {
            let token = token.map(str::to_owned);
            let admin = admin.to_owned();
            let place = Place::of(&args::Admin { admin, token, token_file: None, token_env: None });
            place.map(|place| (place.address, place.token)).map_err(|failure| failure.message)
        };
        let found =
            |address: &str, token: Option<&str>| Ok((address.to_owned(), token.map(str::to_owned)));
        assert_eq!(of("127.0.0.1:9900", None), found("127.0.0.1:9900", None));
        assert_eq!(of("http://h:1/#token=abc", None), found("h:1", Some("abc")));
        assert_eq!(of("http://h:1/status", None), found("h:1", None));
        assert_eq!(of("http://h:1/#token=abc", Some("x")), found("h:1", Some("x")));
        assert!(of("h:1", Some("a\nb")).is_err());
    }
}
