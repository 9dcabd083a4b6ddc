//! `mainstay diagnose`: where the way to an endpoint breaks, and why. No proxy has to run.

mod text;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use mainstay::diagnose::{Asked, BODY_BYTES, Class, Diagnosis, walk};
use mainstay::pool::Target;
use mainstay_config::settings::{ConnectSettings, Endpoint, HostRewrite, Settings};
use mainstay_core::breaks::StatusSet;
use serde_json::json;

use crate::args;
use crate::exit::{Failure, text as failed};

/// Where to walk to, and as whom.
struct Way {
    endpoints: Vec<Endpoint>,
    settings: ConnectSettings,
    path: String,
    host: Option<String>,
    failures: StatusSet,
}

pub(crate) fn run(args: &args::Diagnose) -> Result<ExitCode, Failure> {
    let method = Method::from_bytes(args.method.as_bytes())
        .map_err(|_| Failure::usage(format!("{:?} isn't a method", args.method)))?;
    let headers = headers(&args.headers)?;
    let way = way(args, &method, &headers)?;
    let asked = Asked {
        method,
        path: way.path,
        host: way.host,
        headers,
        failures: way.failures,
        body_bytes: BODY_BYTES,
        patience: Duration::from_secs(args.timeout),
        idle_up_to: args.idle_probe.map(Duration::from_secs),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(failed)?;
    let mut all = Vec::new();
    for endpoint in &way.endpoints {
        let mut walks = Vec::new();
        for _ in 0..args.repeat {
            // A fresh one each time: a kept connection would hide what making one meets.
            let target: Arc<Target> = Target::new(endpoint, &way.settings)
                .map_err(|error| Failure { code: 2, ..failed(error) })?;
            walks.push(runtime.block_on(walk(&target, &asked)));
        }
        all.push(walks);
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&document(&all)).map_err(failed)?);
    } else {
        for walks in &all {
            print!("{}", text::told(walks));
        }
    }
    // The first that broke tells: with several endpoints all of them are to work.
    let broke = all.iter().flatten().map(|walk| walk.class).find(|class| *class != Class::Fine);
    Ok(ExitCode::from(broke.unwrap_or(Class::Fine).exit_code()))
}

fn document(all: &[Vec<Diagnosis>]) -> serde_json::Value {
    let endpoints = all.iter().map(|walks| {
        json!({
            "walks": walks.len(),
            "broke": walks.iter().filter(|walk| walk.class != Class::Fine).count(),
            "times": text::times(walks),
            // Each walk that broke is told, and the last of those that didn't.
            "seen": walks
                .iter()
                .enumerate()
                .filter(|(index, walk)| walk.class != Class::Fine || index + 1 == walks.len())
                .map(|(_, walk)| walk)
                .collect::<Vec<_>>(),
        })
    });
    json!({ "endpoints": endpoints.collect::<Vec<_>>() })
}

pub(crate) fn headers(fields: &[String]) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    for field in fields {
        let wrong = || Failure::usage(format!("{field:?} isn't a header field, `name: value`"));
        let (name, value) = field.split_once(':').ok_or_else(wrong)?;
        let name = HeaderName::try_from(name.trim()).map_err(|_| wrong())?;
        headers.append(name, HeaderValue::try_from(value.trim()).map_err(|_| wrong())?);
    }
    Ok(headers)
}

fn way(args: &args::Diagnose, method: &Method, headers: &HeaderMap) -> Result<Way, Failure> {
    let wrong = |why: &str| Failure::usage(format!("{:?} {why}", args.url));
    let url: Uri = args.url.parse().map_err(|_| wrong("isn't a URL"))?;
    let (Some(scheme), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(wrong("needs http:// or https:// and a host"));
    };
    let path = url.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let base = format!("{scheme}://{authority}");
    // The rules for endpoints are those of a config.
    let quick = mainstay_config::quick(std::slice::from_ref(&base), None, Some("off"), None)
        .map_err(|errors| Failure::settings(&errors))?;
    let mut asked_for = quick.settings.upstreams;
    let Some(upstream) = asked_for.pop() else { return Err(wrong("isn't an endpoint")) };
    let Some(file) = &args.via else {
        let (endpoints, settings) = (upstream.endpoints, upstream.connect);
        return Ok(Way { endpoints, settings, path, host: None, failures: StatusSet::DEFAULT });
    };
    let loaded = mainstay_config::load(file).map_err(|errors| Failure::settings(&errors))?;
    let one = upstream.endpoints.into_iter().next();
    via(&loaded.settings, one.as_ref(), &url, path, method, headers)
        .ok_or_else(|| wrong("goes nowhere by this config: no endpoint is it, no route matches it"))
}

/// By a config: the upstream that has this endpoint, else the one to which an application's request for it is routed.
fn via(
    settings: &Settings,
    one: Option<&Endpoint>,
    url: &Uri,
    path: String,
    method: &Method,
    headers: &HeaderMap,
) -> Option<Way> {
    let is_it = |endpoint: &Endpoint| {
        one.is_some_and(|one| {
            (endpoint.scheme, &endpoint.host, endpoint.port) == (one.scheme, &one.host, one.port)
        })
    };
    if let Some((upstream, endpoint)) = settings.upstreams.iter().find_map(|upstream| {
        Some((upstream, upstream.endpoints.iter().find(|endpoint| is_it(endpoint))?))
    }) {
        // The URL is the endpoint's own: its base path is in it already, if it is meant.
        let endpoint = Endpoint { base_path: String::new(), ..endpoint.clone() };
        let connect = upstream.connect.clone();
        let failures = failures_of(settings, &upstream.name);
        return Some(Way {
            endpoints: vec![endpoint],
            settings: connect,
            path,
            host: None,
            failures,
        });
    }
    let mut request = Request::builder().method(method.clone()).uri(path.as_str()).body(()).ok()?;
    request.headers_mut().clone_from(headers);
    let (head, ()) = request.into_parts();
    let host = url.host()?;
    let route = mainstay_proxy::route_of(settings, &head, host)?;
    let upstream = settings.upstreams.get(route.upstream)?;
    let path = match &route.strip_prefix {
        Some(prefix) => match path.strip_prefix(prefix.as_str()) {
            Some(rest) if rest.starts_with('/') => rest.to_owned(),
            Some(rest) => format!("/{rest}"),
            None => path,
        },
        None => path,
    };
    let host = match &route.host {
        HostRewrite::Endpoint => None,
        HostRewrite::Keep => url.authority().map(ToString::to_string),
        HostRewrite::Set(host) => Some(host.clone()),
    };
    let (endpoints, settings) = (upstream.endpoints.clone(), upstream.connect.clone());
    Some(Way { endpoints, settings, path, host, failures: route.policy.failures })
}

/// What counts as a failure of an upstream: by its first route, since a URL of the endpoint's own takes none.
fn failures_of(settings: &Settings, upstream: &str) -> StatusSet {
    let is_its =
        |place: usize| settings.upstreams.get(place).is_some_and(|one| one.name == upstream);
    let route = settings.routes.iter().find(|route| is_its(route.upstream));
    route.map_or(StatusSet::DEFAULT, |route| route.policy.failures)
}
