//! A scenario of the suite, checked: who serves, what is asked, what breaks when, and what Mainstay has to reach.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use mainstay_core::breaks::BreakKind;
use mainstay_lab::{DnsSpec, NameSpec, Rule, ServerSpec, Spec};

use crate::script::{self, Operator, Script, Step, Value};
use crate::support::text;

/// A scenario, ready to be run against any proxy.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) why: String,
    pub(crate) category: String,
    pub(crate) servers: Vec<String>,
    pub(crate) speaks: Speaks,
    /// Where a name leads to at first, if endpoints are named.
    pub(crate) named: Option<(String, Vec<String>)>,
    /// What Mainstay's config says besides.
    pub(crate) config: String,
    pub(crate) loads: Vec<LoadPlan>,
    pub(crate) timeline: Vec<Change>,
    /// Break codes, of which one has to be told; none if nothing has to break.
    pub(crate) tells: Vec<BreakKind>,
    pub(crate) limits: Vec<Limit>,
    without: Vec<(String, String)>,
}

/// What the servers speak.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Speaks {
    pub(crate) tls: bool,
    pub(crate) http2: bool,
}

/// A load, before it is known whereto.
#[derive(Clone, Debug)]
pub(crate) struct LoadPlan {
    pub(crate) name: String,
    pub(crate) methods: Vec<Method>,
    pub(crate) path: String,
    pub(crate) count: usize,
    pub(crate) rate: f64,
    pub(crate) body_bytes: usize,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) timeout: Duration,
    pub(crate) http2: bool,
    /// Whether its requests carry an idempotency key: then doing one twice is allowed.
    pub(crate) keyed: bool,
}

/// Something that changes at a time.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: Duration,
    pub(crate) server: String,
    pub(crate) rule: Rule,
}

/// What Mainstay has to reach.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) of: String,
    pub(crate) operator: Operator,
    pub(crate) value: Value,
}

impl Scenario {
    /// Those that every proxy is run through, in the order of their names.
    pub(crate) fn all() -> Result<Vec<Self>, String> {
        Self::of_folder("suite")
    }

    /// Those that reach what none of the others does, with settings of their own; for Mainstay alone.
    pub(crate) fn of_census() -> Result<Vec<Self>, String> {
        Self::of_folder(CENSUS)
    }

    pub(crate) fn is_of_census(&self) -> bool {
        self.category == CENSUS
    }

    /// Whether the endpoint is a name. A scenario of the census says so itself where it wants one.
    pub(crate) fn is_named(&self) -> bool {
        self.named.is_some() && !self.is_of_census()
    }

    fn of_folder(name: &str) -> Result<Vec<Self>, String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios").join(name);
        let entries = std::fs::read_dir(&folder).map_err(text)?;
        let mut files: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        files.sort();
        files.iter().map(|file| Self::read(file)).collect()
    }

    fn read(file: &Path) -> Result<Self, String> {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let content = std::fs::read_to_string(file).map_err(text)?;
        script::parse(&content)
            .and_then(|script| Self::of(name, script))
            .map_err(|why| format!("{}: {why}", file.display()))
    }

    fn of(name: String, script: Script) -> Result<Self, String> {
        let mut speaks = Speaks::default();
        for word in &script.suite.speaks {
            match word.as_str() {
                "tls" => speaks.tls = true,
                "http2" => speaks.http2 = true,
                other => return Err(format!("nobody speaks {other}")),
            }
        }
        let tells =
            script.suite.tells.iter().filter(|code| *code != "nothing").map(|code| {
                BreakKind::from_code(code).ok_or_else(|| format!("{code} is no break"))
            });
        let mut scenario = Self {
            name,
            why: script.why.split_whitespace().collect::<Vec<_>>().join(" "),
            category: script.suite.category,
            servers: script.servers,
            speaks,
            named: script.suite.name,
            config: script.config,
            loads: Vec::new(),
            timeline: Vec::new(),
            tells: tells.collect::<Result<_, _>>()?,
            limits: Vec::new(),
            without: script.suite.without,
        };
        if scenario.category.is_empty() || scenario.why.is_empty() {
            return Err("a scenario of the suite has a category and says why it matters".into());
        }
        for (line, step) in script.steps {
            scenario.add(step).map_err(|why| format!("line {line}: {why}"))?;
        }
        scenario.timeline.sort_by_key(|change| change.at);
        Ok(scenario)
    }

    fn add(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Load { name, methods, path, options } => {
                self.loads.push(LoadPlan::new(name, methods, path, &options)?);
            }
            Step::At { at, server, text: words } => {
                let rule = words.parse().map_err(text)?;
                self.timeline.push(Change { at, server, rule });
            }
            Step::Expect { of, operator, value } => {
                self.limits.push(Limit { of: of.join(" "), operator, value });
            }
            Step::After { .. }
            | Step::Join { .. }
            | Step::Fault { .. }
            | Step::Until { .. }
            | Step::UntilCount { .. } => {
                return Err("the suite goes by the clock: `at TIME fault ...`".into());
            }
        }
        Ok(())
    }

    /// The lab that it wants.
    pub(crate) fn lab(&self) -> Spec {
        let servers = (1_u8..).zip(&self.servers).map(|(number, name)| {
            let first = self.servers.first().filter(|first| *first != name);
            let named = self.named.is_some();
            ServerSpec {
                tls: self.speaks.tls,
                h2: !self.speaks.tls || self.speaks.http2,
                // Servers behind one name have one port.
                address: if named { [127, 0, 0, number].into() } else { [127, 0, 0, 1].into() },
                port_of: first.filter(|_| named).cloned(),
                ..ServerSpec::named(name)
            }
        });
        let servers: Vec<ServerSpec> = servers.collect();
        let dns = self.named.as_ref().map(|(name, at_first)| {
            let of = |server: &&ServerSpec| at_first.is_empty() || at_first.contains(&server.name);
            let addresses = servers.iter().filter(of).filter_map(|server| match server.address {
                std::net::IpAddr::V4(address) => Some(address),
                std::net::IpAddr::V6(_) => None,
            });
            let (a, ttl) = (addresses.collect(), Duration::from_secs(1));
            DnsSpec { port: 0, names: vec![NameSpec { a, ttl, ..NameSpec::named(name) }] }
        });
        Spec { servers, dns, seed: 7, ..Spec::default() }
    }

    /// When the break begins, and when it ends, if it does before the load is over.
    pub(crate) fn window(&self) -> (Duration, Option<Duration>) {
        let is_healthy = |change: &&Change| change.rule == mainstay_lab::Fault::Healthy.into();
        let begins = self.timeline.iter().find(|change| !is_healthy(change));
        let last = self.timeline.last().filter(is_healthy);
        (begins.map_or(Duration::ZERO, |change| change.at), last.map(|change| change.at))
    }

    /// When the last call is due.
    pub(crate) fn lasts(&self) -> Duration {
        let of = |load: &LoadPlan| Duration::from_secs_f64(load.count as f64 / load.rate);
        self.loads.iter().map(of).max().unwrap_or_default()
    }

    /// Why a proxy can't take part.
    pub(crate) fn without(&self, proxy: &str) -> Option<&str> {
        self.without.iter().find(|(name, _)| name == proxy).map(|(_, why)| why.as_str())
    }
}

impl LoadPlan {
    fn new(
        name: String,
        methods: Vec<Method>,
        path: String,
        options: &[(String, String)],
    ) -> Result<Self, String> {
        let (count, rate, timeout) = (1, 100.0, Duration::from_secs(5));
        let headers = Vec::new();
        let (body_bytes, http2, keyed) = (64, false, false);
        let mut plan =
            Self { name, methods, path, count, rate, body_bytes, headers, timeout, http2, keyed };
        for (key, value) in options {
            match (key.as_str(), value.as_str()) {
                ("count", value) => plan.count = value.parse().map_err(text)?,
                ("rate", value) => plan.rate = value.parse().map_err(text)?,
                ("body", value) => plan.body_bytes = value.parse().map_err(text)?,
                ("keyed", "yes") => plan.keyed = true,
                ("header", value) => {
                    let (name, value) = value.split_once(':').ok_or("header=NAME:VALUE")?;
                    let value = HeaderValue::try_from(value).map_err(text)?;
                    plan.headers.push((name.parse().map_err(text)?, value));
                }
                ("protocol", "http2") => plan.http2 = true,
                ("protocol", "grpc") => {
                    plan.http2 = true;
                    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")]
                    {
                        let value = HeaderValue::from_static(value);
                        plan.headers.push((HeaderName::from_static(name), value));
                    }
                }
                ("timeout", value) => match script::value_of(value) {
                    Some(Value::Time(timeout)) => plan.timeout = timeout,
                    _ => return Err(format!("{value} is no time")),
                },
                _ => return Err(format!("unknown option {key}={value}")),
            }
        }
        if plan.keyed {
            let name = HeaderName::from_static("idempotency-key");
            plan.headers.push((name, HeaderValue::from_static("of-the-suite")));
        }
        Ok(plan)
    }

    /// Whether its calls are streams.
    pub(crate) fn is_stream(&self) -> bool {
        ["/events", "/llm/"].iter().any(|prefix| self.path.starts_with(prefix))
    }
}

const CENSUS: &str = "census";
