//! Making a client: from code, from a policy file, or from both.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use mainstay_config::{Errors, Profile, Settings};
use mainstay_record::Recorder;

use super::mainstay::Inner;
use super::places::Places;
use super::{Mainstay, Observer};
use crate::degrade::FallbackError;
use crate::pool::TargetError;
use crate::shown::Length;

/// Says what a [`Mainstay`] is to know before it is made.
///
/// ```
/// use std::time::Duration;
/// use mainstay::{Mainstay, OtherHosts, UpstreamBuilder};
///
/// let orders = UpstreamBuilder::new("orders")
///     .endpoint("https://a.example")
///     .endpoint("https://b.example")
///     .total_timeout(Duration::from_secs(8))
///     .max_attempts(4);
/// let client = Mainstay::builder().upstream(orders).other_hosts(OtherHosts::Refuse).build()?;
/// # Ok::<(), mainstay::BuildError>(())
/// ```
#[derive(Clone, Default)]
pub struct Builder {
    sources: Vec<Source>,
    others: OtherHosts,
    default_policy: Option<UpstreamBuilder>,
    headers: HeaderMap,
    observer: Option<Arc<dyn Observer>>,
    #[cfg(feature = "testing")]
    script: Option<crate::testing::Script>,
}

#[derive(Clone)]
enum Source {
    Upstream(UpstreamBuilder),
    Text { text: String, name: String },
    File(PathBuf),
}

/// What becomes of requests to hosts that belong to no upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherHosts {
    /// Each host gets an upstream of its own, by the [default policy](Builder::default_policy), when it is first called.
    Allow {
        /// How many are known at a time, at least 1; the one that was used least lately makes room, and its breaker, budget and kept
        /// connections are forgotten with it. Default 64.
        most: usize,
    },
    /// They end with an error, and nothing is sent.
    Refuse,
}

impl Default for OtherHosts {
    fn default() -> Self {
        Self::Allow { most: 64 }
    }
}

impl Builder {
    /// Adds an upstream.
    #[must_use]
    pub fn upstream(mut self, upstream: UpstreamBuilder) -> Self {
        self.sources.push(Source::Upstream(upstream));
        self
    }

    /// Adds the upstreams and routes of a policy file, the very one that `mainstay run` takes. What it says about listeners, the admin
    /// address, log and outbox isn't for a client, and left aside.
    #[must_use]
    pub fn config_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.sources.push(Source::File(path.into()));
        self
    }

    /// Adds what a text in the form of a policy file says. `name`: how messages call it.
    #[must_use]
    pub fn config_text(mut self, text: impl Into<String>, name: impl Into<String>) -> Self {
        self.sources.push(Source::Text { text: text.into(), name: name.into() });
        self
    }

    /// What becomes of requests to hosts that belong to no upstream. Default: each gets its own.
    #[must_use]
    pub fn other_hosts(self, others: OtherHosts) -> Self {
        Self { others, ..self }
    }

    /// The policy for such hosts; its name and endpoints don't count. Default: the settings' own defaults.
    #[must_use]
    pub fn default_policy(self, policy: UpstreamBuilder) -> Self {
        Self { default_policy: Some(policy), ..self }
    }

    /// A header field that each request has, unless the request itself says it.
    #[must_use]
    pub fn default_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// What this script says takes the place of the network: for tests of programs. Nothing is watched over then: no checks, no
    /// ejections.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn scripted(self, script: &crate::testing::Script) -> Self {
        Self { script: Some(script.clone()), ..self }
    }

    /// Who hears what happens to each call. Default nobody.
    #[must_use]
    pub fn observer(self, observer: impl Observer) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
    }

    /// Makes the client. Nothing is connected, and no runtime needed, before its first request.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with everything that is wrong with the settings, or the first file (of a certificate, a fixed answer) that can't be
    /// used.
    pub fn build(self) -> Result<Mainstay, BuildError> {
        let (mut settings, mut wrong) = (Vec::new(), Vec::new());
        for source in &self.sources {
            match source.settings() {
                Ok(read) => settings.push(read),
                Err(errors) => wrong.push(errors),
            }
        }
        let template = self.default_policy.unwrap_or_else(|| UpstreamBuilder::new("other"));
        // So that what is wrong with it is known now, and not with the first request.
        if let Err(errors) = template.clone().named("other").at_nowhere().read() {
            wrong.push(errors);
        }
        if !wrong.is_empty() {
            return Err(BuildError(Cause::Config(wrong)));
        }
        let limits = settings.first().map(|settings| settings.limits.clone()).unwrap_or_default();
        let recorder = Recorder::new();
        let places = Places::new(&settings, (self.others, template), &recorder)?;
        let mut inner = Inner::new(places, &limits, recorder, self.headers);
        inner.observer = self.observer;
        #[cfg(feature = "courier")]
        {
            let stores =
                |settings: &&Settings| settings.routes.iter().any(|it| it.outbox.is_some());
            let storing = settings.iter().find(stores);
            inner.outbox = storing.map(|settings| settings.outbox.clone()).unwrap_or_default();
        }
        #[cfg(feature = "testing")]
        {
            inner.script = self.script;
        }
        Ok(Mainstay::of(inner))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sources, others, default_policy, .. } = self;
        f.debug_struct("Builder")
            .field("sources", sources)
            .field("others", others)
            .field("default_policy", default_policy)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Source {
    /// A policy may hold a secret, in a fixed answer or an address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(upstream) => upstream.fmt(f),
            Self::Text { text, name } => write!(f, "{name:?}: {:?}", Length(text.len())),
            Self::File(path) => path.fmt(f),
        }
    }
}

impl fmt::Debug for UpstreamBuilder {
    /// Its settings by their names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, endpoints, lines } = self;
        let keys = lines.iter().map(|line| line.split(" = ").next().unwrap_or_default());
        let keys = keys.collect::<Vec<_>>();
        let mut shown = f.debug_struct("UpstreamBuilder");
        shown.field("name", name).field("endpoints", &endpoints.len()).field("set", &keys).finish()
    }
}

impl Source {
    fn settings(&self) -> Result<Settings, Errors> {
        match self {
            Self::Upstream(upstream) => upstream.read(),
            Self::Text { text, name } => Ok(mainstay_config::parse(text, name)?.settings),
            Self::File(path) => Ok(mainstay_config::load(path)?.settings),
        }
    }
}

/// Says where an upstream is, and how its calls are treated. Nothing said: the settings' defaults.
///
/// Each key of the manual's page of settings can be given by [`UpstreamBuilder::set`]; those that are given most have methods of their
/// own. They are checked when the client is made, by the rules of the policy file.
#[derive(Clone)]
pub struct UpstreamBuilder {
    name: String,
    endpoints: Vec<String>,
    lines: Vec<String>,
}

impl UpstreamBuilder {
    /// An upstream of this name: 1 to 64 letters, digits, `-`, `_` and `.`.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), endpoints: Vec::new(), lines: Vec::new() }
    }

    /// Adds an endpoint: a URL of http or https, with a path that goes before each request's if there is one. For what isn't HTTP,
    /// `host:port`.
    #[must_use]
    pub fn endpoint(self, url: impl AsRef<str>) -> Self {
        self.endpoint_in_tier(url, 0)
    }

    /// Adds an endpoint of a tier: endpoints of tier 1 are asked when those of tier 0 don't do, and so on.
    #[must_use]
    pub fn endpoint_in_tier(mut self, url: impl AsRef<str>, tier: u8) -> Self {
        let url = url.as_ref();
        let url = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
        self.endpoints.push(format!("{{ url = {}, tier = {tier} }}", quoted(&url)));
        self
    }

    /// A named set of settings to begin with.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Self {
        self.set("profile", profile.name())
    }

    /// From the call's start to the head of its answer, all attempts and waits included. 10 ms to 24 h, default 30 s.
    #[must_use]
    pub fn total_timeout(self, time: Duration) -> Self {
        self.set("total_timeout", time)
    }

    /// From an attempt's start to the head of its answer. 1 ms to the total timeout, default 10 s.
    #[must_use]
    pub fn attempt_timeout(self, time: Duration) -> Self {
        self.set("attempt_timeout", time)
    }

    /// Attempts of one call, the first included. 1 to 10, default 3.
    #[must_use]
    pub fn max_attempts(self, attempts: u8) -> Self {
        self.set("retry.max_attempts", i64::from(attempts))
    }

    /// When a second attempt is made beside the first that has no answer yet, of requests that may be done twice. Default: never.
    #[must_use]
    pub fn hedge_after(self, time: Duration) -> Self {
        self.set("hedge.after", time)
    }

    /// Whether requests may be done twice whatever their method. Wrongly true, writes are doubled. Default false.
    #[must_use]
    pub fn idempotent(self, idempotent: bool) -> Self {
        self.set("idempotent", idempotent)
    }

    /// Any key of an upstream, as in the policy file: `set("breaker.consecutive_failures", 3)`.
    ///
    /// ```
    /// use mainstay::{Mainstay, UpstreamBuilder};
    ///
    /// let api = UpstreamBuilder::new("api").endpoint("https://api.example").set("retry.max_atempts", 3);
    /// let error = Mainstay::builder().upstream(api).build().unwrap_err();
    /// assert!(error.to_string().contains("did you mean `max_attempts`?"));
    /// ```
    #[must_use]
    pub fn set(mut self, key: &str, value: impl Into<SettingValue>) -> Self {
        let key = key.split('.').map(key_text).collect::<Vec<_>>().join(".");
        self.lines.push(format!("{key} = {}", value.into().0));
        self
    }

    pub(super) fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), endpoints: Vec::new(), ..self }
    }

    /// With an endpoint that nobody asks, to be checked.
    fn at_nowhere(self) -> Self {
        self.endpoint("http://other.invalid")
    }

    pub(super) fn settings(&self) -> Result<Settings, BuildError> {
        self.read().map_err(|errors| BuildError(Cause::Config(vec![errors])))
    }

    /// What is said in code becomes the text that it stands for, so that there is one set of rules.
    fn read(&self) -> Result<Settings, Errors> {
        let Self { name, endpoints, lines } = self;
        let text = format!(
            "[upstream.{}]\nendpoints = [{}]\n{}\n",
            key_text(name),
            endpoints.join(", "),
            lines.join("\n")
        );
        Ok(mainstay_config::parse(&text, &format!("upstream {name:?}"))?.settings)
    }
}

/// The value of a setting: a text, a number, a length of time, or yes or no.
#[derive(Clone, Debug)]
pub struct SettingValue(String);

impl From<&str> for SettingValue {
    fn from(text: &str) -> Self {
        Self(quoted(text))
    }
}

impl From<bool> for SettingValue {
    fn from(flag: bool) -> Self {
        Self(flag.to_string())
    }
}

impl From<i64> for SettingValue {
    fn from(number: i64) -> Self {
        Self(number.to_string())
    }
}

impl From<i32> for SettingValue {
    fn from(number: i32) -> Self {
        Self(number.to_string())
    }
}

impl From<f64> for SettingValue {
    fn from(number: f64) -> Self {
        // `1.0` and not `1`: a number with a point is another type in TOML.
        Self(format!("{number:?}"))
    }
}

impl From<Duration> for SettingValue {
    fn from(time: Duration) -> Self {
        // Settings are whole milliseconds; what is below one is none of their lengths.
        Self(quoted(&format!("{}ms", time.as_millis())))
    }
}

/// `text` as a TOML string.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `text` as a TOML key.
fn key_text(text: &str) -> String {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    if !text.is_empty() && text.bytes().all(is_bare) { text.to_owned() } else { quoted(text) }
}

/// Why a client can't be made.
#[derive(Debug)]
pub struct BuildError(Cause);

#[derive(Debug)]
enum Cause {
    Config(Vec<Errors>),
    Target { upstream: String, source: TargetError },
    Fallback { route: String, source: FallbackError },
    NoRoute,
}

impl BuildError {
    pub(super) fn of_target(upstream: &str, source: TargetError) -> Self {
        Self(Cause::Target { upstream: upstream.to_owned(), source })
    }

    pub(super) fn of_fallback(route: &str, source: FallbackError) -> Self {
        Self(Cause::Fallback { route: route.to_owned(), source })
    }

    pub(super) const fn none() -> Self {
        Self(Cause::NoRoute)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Config(wrong) => {
                for (place, errors) in wrong.iter().enumerate() {
                    if place > 0 {
                        writeln!(f)?;
                    }
                    errors.fmt(f)?;
                }
                Ok(())
            }
            Cause::Target { upstream, .. } => {
                write!(f, "can't use the settings of upstream {upstream:?}")
            }
            Cause::Fallback { route, .. } => {
                write!(f, "can't use the fixed answer of route {route:?}")
            }
            Cause::NoRoute => f.write_str("an upstream has no route"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            // They are printed as they are.
            Cause::Config(_) | Cause::NoRoute => None,
            Cause::Target { source, .. } => Some(source),
            Cause::Fallback { source, .. } => Some(source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(upstream: UpstreamBuilder) -> String {
        Mainstay::builder().upstream(upstream).build().map(|_| ()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_said_in_code_is_what_a_file_would_say() {
        let built = UpstreamBuilder::new("api")
            .endpoint("https://a.example/v1")
            .endpoint_in_tier("https://b.example", 1)
            .profile(Profile::ReadApi)
            .total_timeout(Duration::from_secs(4))
            .hedge_after(Duration::from_millis(150))
            .set("breaker.consecutive_failures", 3)
            .set("fail_open", true);
        let text = "[upstream.api]\nprofile = \"read-api\"\n\
            endpoints = [\"https://a.example/v1\", { url = \"https://b.example\", tier = 1 }]\n\
            total_timeout = \"4s\"\nhedge.after = \"150ms\"\nbreaker.consecutive_failures = 3\nfail_open = true\n";
        assert_eq!(built.settings().unwrap(), mainstay_config::parse(text, "t").unwrap().settings);
    }

    #[test]
    fn everything_wrong_is_told_with_its_place_and_nothing_gets_out_of_its_quotes() {
        let api = UpstreamBuilder::new("api").endpoint("ftp://a").total_timeout(Duration::ZERO);
        let error = wrong(api);
        assert!(error.contains("upstream \"api\":"), "{error}");
        assert!(error.contains("total_timeout") && error.contains("ftp://a"), "{error}");
        let hostile = "http://a\"]\nadmin = false #\u{1b}";
        let error = wrong(UpstreamBuilder::new("a]\nb").endpoint(hostile).set("x\ny", "z\"\nq"));
        assert!(error.contains("that can't be the name of an upstream"), "{error}");
        assert!(error.contains("unknown key"), "{error}");
    }

    #[test]
    fn a_default_policy_that_is_wrong_is_refused_before_it_is_needed() {
        let policy = UpstreamBuilder::new("x").set("retry.max_attempts", 99);
        let error = Mainstay::builder().default_policy(policy).build().map(|_| ()).unwrap_err();
        assert!(error.to_string().contains("max_attempts"), "{error}");
    }
}
