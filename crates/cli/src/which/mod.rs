//! `mainstay which`: where a request would go, under which settings, and what would happen if it broke. Nothing is sent, and no
//! proxy has to run.
//!
//! Nothing of that is known here. Where it goes the proxy's own routing says ([`Outlook`]), where each value comes from the config
//! ([`Loaded::effective`]), and what would happen the engine: the request is played with it, break by break (`play`). `report`
//! gathers what they say, `text` draws it.

mod play;
mod report;
#[cfg(test)]
mod tests;
mod text;
mod words;

use std::process::ExitCode;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use mainstay_config::{Loaded, Settings};
use mainstay_proxy::Outlook;

use crate::args;
use crate::diagnose;
use crate::exit::{Failure, print, text as failed};
use crate::paper::Paper;
use report::Report;

pub(crate) fn run(args: &args::Which) -> Result<ExitCode, Failure> {
    let method = Method::from_bytes(args.method.as_bytes())
        .map_err(|_| Failure::usage(format!("METHOD {:?} isn't a method", args.method)))?;
    let headers = diagnose::headers(&args.headers)?;
    let loaded = loaded(args)?;
    let head = head(&method, &args.url, headers, &loaded.settings)?;
    let outlook = Outlook::new(&loaded.settings, &head);
    let report = Report::new(&loaded, &head, &args.url, &outlook);
    let told = if args.json {
        serde_json::to_string_pretty(&report).map_err(failed)? + "\n"
    } else {
        text::told(&report, &Paper::of_stdout(args.width))
    };
    print(&told)?;
    Ok(if outlook.answered.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn loaded(args: &args::Which) -> Result<Loaded, Failure> {
    let loaded = match &args.config {
        Some(file) => mainstay_config::load(file),
        None => mainstay_config::quick(&args.to, None, None, args.profile.as_deref()),
    };
    loaded.map_err(|errors| Failure::settings(&errors))
}

/// The head as an application sends it to a proxy that stands for the server: a path, and the host in its field. What stands in the URL
/// gives way to a `Host` that is given.
fn head(
    method: &Method,
    url: &str,
    mut headers: HeaderMap,
    settings: &Settings,
) -> Result<Parts, Failure> {
    let wrong = |why: &str| Failure::usage(format!("URL {url:?} {why}"));
    let uri: Uri = url.parse().map_err(|_| wrong("isn't a URL or a path"))?;
    let authority = match (uri.scheme_str(), uri.authority()) {
        (Some("http" | "https"), Some(authority)) => Some(authority.to_string()),
        (None, None) => settings.listeners.first().map(|listener| listener.address.to_string()),
        _ => return Err(wrong("needs http:// or https:// and a host, or is a path")),
    };
    if let (false, Some(authority)) = (headers.contains_key(header::HOST), authority) {
        let host = HeaderValue::try_from(authority).map_err(|_| wrong("has no usable host"))?;
        headers.insert(header::HOST, host);
    }
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let request = Request::builder().method(method.clone()).uri(target).body(());
    let mut head = request.map_err(failed)?.into_parts().0;
    head.headers = headers;
    Ok(head)
}
