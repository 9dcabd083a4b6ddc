//! Which upstream a URL belongs to, and which plan its calls follow.
//!
//! A URL belongs to an upstream if it is below the URL of one of its endpoints. Routes of a policy file are asked in their order, as the
//! proxy does; one that names no hosts takes only what belongs to its upstream, since here nobody has chosen the upstream by
//! connecting to it. What belongs to an upstream and to no route goes by the first of its routes whose other conditions are met. Any other URL gets an upstream of its own, by the default policy, unless that is forbidden.

use std::sync::Arc;

use http::uri::Authority;
use http::{HeaderMap, Method, Uri};
use mainstay_config::Settings;
use mainstay_config::settings::{Endpoint, Scheme};
use mainstay_record::Recorder;
use parking_lot::Mutex;

use super::upstream::Station;
use super::{BuildError, OtherHosts, UpstreamBuilder};
use crate::degrade::{Degrade, Fallback, Kept};
use crate::route::{Asked, Compiled, Condition};
use crate::service::Plan;
#[cfg(feature = "courier")]
use crate::stored::Stores;

/// Everywhere that calls may go.
#[derive(Debug)]
pub(crate) struct Places {
    pub(super) stations: Vec<Arc<Station>>,
    routes: Vec<Route>,
    others: OtherHosts,
    template: UpstreamBuilder,
    recorder: Arc<Recorder>,
    /// Those of other hosts, the last used first.
    made: Mutex<Vec<Made>>,
}

#[derive(Debug)]
struct Route {
    compiled: Compiled,
    has_hosts: bool,
    station: usize,
    plan: Arc<Plan>,
    #[cfg(feature = "courier")]
    stores: Option<Arc<Stores>>,
}

/// The way of a stored write.
#[cfg(feature = "courier")]
#[derive(Clone, Debug)]
pub(crate) struct StoredWay {
    pub(crate) station: Arc<Station>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) stores: Arc<Stores>,
    /// The target below the endpoint's own path; `None` when it is that already.
    pub(crate) below: Option<Uri>,
}

#[derive(Debug)]
struct Made {
    scheme: Scheme,
    host: String,
    port: u16,
    way: Way,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) station: Arc<Station>,
    pub(super) plan: Arc<Plan>,
    /// What the endpoint's own path is taken off of; `None` when nothing has to be.
    pub(super) below: Option<Uri>,
}

/// What is known of the origin that a request names.
#[derive(Clone, Copy, Debug)]
struct Origin<'a> {
    /// A stored write's isn't known.
    scheme: Option<Scheme>,
    /// Without brackets.
    host: &'a str,
    /// `None` is the default of the endpoint's scheme.
    port: Option<u16>,
}

/// What takes a request that names an origin.
enum Taken<'a> {
    By(&'a Route, Option<Uri>),
    /// Nothing, though it is below one of an upstream's endpoints.
    NoRoute,
    /// No upstream of these.
    Elsewhere,
}

/// Why a request goes nowhere.
#[derive(Debug)]
pub(super) enum Nowhere {
    /// It isn't an absolute URL of http or https, without credentials in it.
    NotAUrl(&'static str),
    /// Its host belongs to no upstream, and others aren't allowed.
    OtherHost,
    /// Its upstream has no route for it.
    NoRoute,
    /// Its own upstream can't be made.
    NotMade(BuildError),
}

impl Places {
    pub(super) fn new(
        settings: &[Settings],
        (others, template): (OtherHosts, UpstreamBuilder),
        recorder: &Arc<Recorder>,
    ) -> Result<Self, BuildError> {
        let (mut stations, mut routes) = (Vec::new(), Vec::new());
        for settings in settings {
            let first = stations.len();
            for upstream in &settings.upstreams {
                stations.push(Station::new(upstream, recorder)?);
            }
            for (route, plan) in plans(settings, &stations[first..])? {
                routes.push(Route {
                    compiled: Compiled::new(&route.matcher),
                    has_hosts: !route.matcher.hosts.is_empty(),
                    station: first + route.upstream,
                    #[cfg(feature = "courier")]
                    stores: route.outbox.clone().map(|outbox| Arc::new(Stores::new(outbox, &plan))),
                    plan,
                });
            }
        }
        let recorder = Arc::clone(recorder);
        Ok(Self { stations, routes, others, template, recorder, made: Mutex::default() })
    }

    /// No upstream at first.
    pub(super) fn none(template: UpstreamBuilder, recorder: &Arc<Recorder>) -> Self {
        let (stations, routes, others) = Default::default();
        let recorder = Arc::clone(recorder);
        Self { stations, routes, others, template, recorder, made: Mutex::default() }
    }

    /// The services of all upstreams, those of other hosts among them as long as they are known.
    #[cfg(feature = "metrics")]
    pub(super) fn services(&self) -> Vec<Arc<crate::service::Service>> {
        let own = self.stations.iter().map(|station| Arc::clone(&station.service));
        let made = self.made.lock();
        own.chain(made.iter().map(|made| Arc::clone(&made.way.station.service))).collect()
    }

    /// Where a request for `url` goes.
    pub(super) fn find(
        &self,
        method: &Method,
        url: &Uri,
        headers: &HeaderMap,
    ) -> Result<Way, Nowhere> {
        let (scheme, host, port) = origin(url)?;
        let named = Origin { scheme: Some(scheme), host, port: Some(port) };
        match self.taken(named, &Asked { method, uri: url, headers, host }) {
            Taken::By(route, below) => {
                let station = self.stations.get(route.station).ok_or(Nowhere::NoRoute)?;
                Ok(Way { station: Arc::clone(station), plan: Arc::clone(&route.plan), below })
            }
            Taken::NoRoute => Err(Nowhere::NoRoute),
            Taken::Elsewhere => match self.others {
                OtherHosts::Refuse => Err(Nowhere::OtherHost),
                OtherHosts::Allow { most } => self.other(scheme, host, port, most),
            },
        }
    }

    /// The route for a request that names this origin.
    fn taken(&self, named: Origin<'_>, asked: &Asked<'_>) -> Taken<'_> {
        let mut own = None;
        for route in &self.routes {
            let Some(station) = self.stations.get(route.station) else { continue };
            let endpoints = &station.service.settings().endpoints;
            let base = endpoints.iter().find_map(|endpoint| below(endpoint, named, asked.uri));
            if base.is_none() && !route.has_hosts {
                continue;
            }
            let below = base.filter(|base| !base.is_empty()).map(|base| without(asked.uri, base));
            let uri = below.as_ref().unwrap_or(asked.uri);
            let failed = route.compiled.failed(&Asked { uri, ..*asked });
            if failed.is_empty() {
                return Taken::By(route, below);
            }
            // Whoever names an endpoint has chosen the upstream, whatever hosts its routes name.
            if base.is_some() {
                let own = own.get_or_insert(None);
                if own.is_none() && failed == [Condition::Host] {
                    *own = Some((route, below));
                }
            }
        }
        match own {
            Some(Some((route, below))) => Taken::By(route, below),
            Some(None) => Taken::NoRoute,
            None => Taken::Elsewhere,
        }
    }

    /// Where a request for a path of this upstream goes.
    pub(super) fn within(
        &self,
        station: &Arc<Station>,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Way, Nowhere> {
        let asked = Asked { method, uri, headers, host: "" };
        let route = self.routes_of(station).find(|route| {
            // By name the upstream is chosen, so that only the other conditions are asked.
            route.compiled.failed(&asked).iter().all(|failed| *failed == Condition::Host)
        });
        let plan = route.map(|route| Arc::clone(&route.plan)).ok_or(Nowhere::NoRoute)?;
        Ok(Way { station: Arc::clone(station), plan, below: None })
    }

    /// The way of a write that is to be stored. One that names a host goes where a request for that URL would go, if that stores; of one that
    /// names none the first route that matches decides, as in the proxy.
    #[cfg(feature = "courier")]
    pub(crate) fn storing(&self, head: &http::request::Parts) -> Option<StoredWay> {
        let host = match head.headers.get(http::header::HOST) {
            Some(host) => Some(Authority::try_from(host.as_bytes()).ok()?),
            None => None,
        };
        let asked =
            |host| Asked { method: &head.method, uri: &head.uri, headers: &head.headers, host };
        let Some(authority) = &host else {
            let asked = asked("");
            let mut routes = self.routes.iter();
            return self.stored_way(routes.find(|it| it.compiled.failed(&asked).is_empty())?, None);
        };
        let host = bare(authority);
        let named = Origin { scheme: None, host, port: port(authority)? };
        match self.taken(named, &asked(host)) {
            Taken::By(route, below) => self.stored_way(route, below),
            Taken::NoRoute | Taken::Elsewhere => None,
        }
    }

    /// The way of a write that another route of this upstream stored, which is gone: by the first whose other conditions are met. Its target is
    /// below the endpoints' own path already.
    #[cfg(feature = "courier")]
    pub(crate) fn storing_within(
        &self,
        upstream: &str,
        head: &http::request::Parts,
    ) -> Option<StoredWay> {
        let asked =
            Asked { method: &head.method, uri: &head.uri, headers: &head.headers, host: "" };
        let mut ways = self.routes.iter().filter(|it| **it.plan.service.name() == *upstream);
        let way = ways.find(|route| {
            route.compiled.failed(&asked).iter().all(|failed| *failed == Condition::Host)
        });
        way.and_then(|route| self.stored_way(route, None))
    }

    /// The way of a write that was stored by the route of this name to this upstream.
    #[cfg(feature = "courier")]
    pub(crate) fn stored(&self, upstream: &str, route: &str) -> Option<StoredWay> {
        let mut ways = self.routes.iter().filter(|it| *it.plan.route == *route);
        let way = ways.find(|it| **it.plan.service.name() == *upstream);
        way.and_then(|route| self.stored_way(route, None))
    }

    #[cfg(feature = "courier")]
    fn stored_way(&self, route: &Route, below: Option<Uri>) -> Option<StoredWay> {
        Some(StoredWay {
            station: Arc::clone(self.stations.get(route.station)?),
            plan: Arc::clone(&route.plan),
            stores: Arc::clone(route.stores.as_ref()?),
            below,
        })
    }

    /// Whether any route stores.
    #[cfg(feature = "courier")]
    pub(crate) fn any_stores(&self) -> bool {
        self.routes.iter().any(|route| route.stores.is_some())
    }

    /// The plan of an upstream's first route.
    pub(super) fn any(&self, station: &Arc<Station>) -> Option<Arc<Plan>> {
        self.routes_of(station).next().map(|route| Arc::clone(&route.plan))
    }

    fn routes_of<'a>(&'a self, station: &'a Arc<Station>) -> impl Iterator<Item = &'a Route> {
        let is_its = move |route: &&Route| {
            self.stations.get(route.station).is_some_and(|other| Arc::ptr_eq(other, station))
        };
        self.routes.iter().filter(is_its)
    }

    /// An upstream of another host: known from before, or made now.
    fn other(&self, scheme: Scheme, host: &str, port: u16, most: usize) -> Result<Way, Nowhere> {
        let is_it = |made: &Made| {
            made.port == port && made.scheme == scheme && made.host.eq_ignore_ascii_case(host)
        };
        {
            let mut made = self.made.lock();
            if let Some(place) = made.iter().position(is_it) {
                made[..=place].rotate_right(1);
                return Ok(made[0].way.clone());
            }
        }
        let host = host.to_ascii_lowercase();
        let way = self.make(scheme, &host, port).map_err(Nowhere::NotMade)?;
        let mut made = self.made.lock();
        // Another call may have been faster.
        if let Some(place) = made.iter().position(is_it) {
            return Ok(made[place].way.clone());
        }
        // The one that was used least lately goes; its calls under way keep what they need of it.
        made.truncate(most.max(1) - 1);
        made.insert(0, Made { scheme, host, port, way: way.clone() });
        Ok(way)
    }

    fn make(&self, scheme: Scheme, host: &str, port: u16) -> Result<Way, BuildError> {
        let shown = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let url = format!("{}://{shown}:{port}", scheme.as_str());
        let settings = self.template.clone().named(&name_of(scheme, host, port)).endpoint(&url);
        let settings = settings.settings()?;
        let stations: Vec<_> = settings
            .upstreams
            .iter()
            .map(|upstream| Station::new(upstream, &self.recorder))
            .collect::<Result<_, _>>()?;
        let plan = plans(&settings, &stations)?.into_iter().next().map(|(_, plan)| plan);
        match (stations.into_iter().next(), plan) {
            (Some(station), Some(plan)) => Ok(Way { station, plan, below: None }),
            // An upstream without routes gets one.
            (None | Some(_), _) => Err(BuildError::none()),
        }
    }
}

/// The plans of all routes.
fn plans<'s>(
    settings: &'s Settings,
    stations: &[Arc<Station>],
) -> Result<Vec<(&'s mainstay_config::settings::Route, Arc<Plan>)>, BuildError> {
    let keeps = settings.routes.iter().any(|route| route.stale.is_some());
    let kept = keeps.then(|| Kept::new(settings.limits.stale_bytes_total));
    let mut plans = Vec::new();
    for route in &settings.routes {
        let fallback = route.fallback.as_ref().map(Fallback::new).transpose();
        let fallback = fallback.map_err(|source| BuildError::of_fallback(&route.name, source))?;
        let degrade = Degrade {
            kept: kept.clone(),
            stale: route.stale.clone(),
            fallback: fallback.map(Arc::new),
        };
        // The settings were checked: each route's upstream is there.
        if let Some(station) = stations.get(route.upstream) {
            let plan = Plan::of(route, &station.service, settings.limits.body_bytes, degrade);
            plans.push((route, Arc::new(plan)));
        }
    }
    Ok(plans)
}

/// Scheme, host without brackets, and port of a URL.
fn origin(url: &Uri) -> Result<(Scheme, &str, u16), Nowhere> {
    let scheme = match url.scheme_str() {
        Some("http") => Scheme::Http,
        Some("https") => Scheme::Https,
        Some(_) => return Err(Nowhere::NotAUrl("its scheme is neither http nor https")),
        None => return Err(Nowhere::NotAUrl("it has no scheme and host")),
    };
    let authority = url.authority().ok_or(Nowhere::NotAUrl("it has no host"))?;
    if authority.as_str().contains('@') {
        return Err(Nowhere::NotAUrl("it has credentials in it; say them in a header field"));
    }
    let host = bare(authority);
    if host.is_empty() {
        return Err(Nowhere::NotAUrl("its host is empty"));
    }
    let port = port(authority).ok_or(Nowhere::NotAUrl("its port isn't a number up to 65535"))?;
    Ok((scheme, host, port.unwrap_or(scheme.default_port())))
}

/// Its host, without brackets.
fn bare(authority: &Authority) -> &str {
    authority.host().trim_start_matches('[').trim_end_matches(']')
}

/// The port that an authority says, if it says any; nothing where it says one that is none: "a:8080path" is such an authority to
/// [`Uri`], and mustn't lead to the scheme's own port.
pub(crate) fn port(authority: &Authority) -> Option<Option<u16>> {
    match authority.as_str().rsplit(['@', ']']).next().and_then(|rest| rest.split_once(':')) {
        None | Some((_, "")) => Some(None),
        Some((_, digits)) => digits.parse().ok().map(Some),
    }
}

/// The base path of an endpoint that the URL is below of.
fn below<'e>(endpoint: &'e Endpoint, named: Origin<'_>, url: &Uri) -> Option<&'e str> {
    let is_there = endpoint.port == named.port.unwrap_or(endpoint.scheme.default_port())
        && named.scheme.is_none_or(|scheme| endpoint.scheme == scheme)
        && endpoint.host.eq_ignore_ascii_case(named.host);
    let rest = url.path().strip_prefix(endpoint.base_path.as_str()).filter(|_| is_there)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(endpoint.base_path.as_str())
}

/// The target without the endpoint's own path, which is put before it again.
fn without(url: &Uri, base: &str) -> Uri {
    let whole = url.path_and_query().map_or("/", |target| target.as_str());
    let rest = whole.strip_prefix(base).unwrap_or(whole);
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    Uri::try_from(rest).unwrap_or_else(|_| url.clone())
}

/// What an upstream of another host is called in records and metrics.
fn name_of(scheme: Scheme, host: &str, port: u16) -> String {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut name: String =
        host.chars().map(|c| if is_letter(c) { c } else { '-' }).take(LONGEST_HOST).collect();
    if port != scheme.default_port() {
        name.push_str(&format!("_{port}"));
    }
    if scheme == Scheme::Http {
        name.push_str("_http");
    }
    name
}

/// A name has 64 letters, and port and scheme may be behind the host.
const LONGEST_HOST: usize = 50;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_it_goes_or_what_is_wrong_with_it() {
        let of = |url: &str| {
            let url: Uri = url.parse().unwrap();
            origin(&url).map(|(scheme, host, port)| format!("{scheme:?} {host} {port}"))
        };
        assert_eq!(of("https://A.example/x").unwrap(), "Https A.example 443");
        assert_eq!(of("http://[::1]:81/").unwrap(), "Http ::1 81");
        assert_eq!(of("http://[::1]:/").unwrap(), "Http ::1 80");
        for wrong in
            ["/path", "ftp://a/", "https://me:secret@a/", "http://a:8080b?c", "http://a:65536/"]
        {
            assert!(matches!(of(wrong), Err(Nowhere::NotAUrl(_))), "{wrong}");
        }
    }

    #[test]
    fn the_endpoints_own_path_is_a_matter_of_whole_segments() {
        let endpoint = Endpoint {
            name: "a".into(),
            scheme: Scheme::Https,
            host: "a.example".into(),
            port: 443,
            base_path: "/v1".into(),
        };
        let check = |url: &str| {
            let url: Uri = url.parse().unwrap();
            let (scheme, host, port) = origin(&url).unwrap();
            let named = Origin { scheme: Some(scheme), host, port: Some(port) };
            below(&endpoint, named, &url).map(|base| without(&url, base).to_string())
        };
        assert_eq!(check("https://a.example/v1/orders?x").as_deref(), Some("/orders?x"));
        assert_eq!(check("https://A.example:443/v1?x").as_deref(), Some("/?x"));
        assert_eq!(check("https://a.example/v10"), None);
        assert_eq!(check("http://a.example/v1"), None);
    }

    #[test]
    fn names_of_other_hosts_are_names_of_upstreams() {
        assert_eq!(name_of(Scheme::Https, "a.example", 443), "a.example");
        assert_eq!(name_of(Scheme::Http, "::1", 8080), "--1_8080_http");
    }
}
