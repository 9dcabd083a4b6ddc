//! The request of one attempt: the application's, made out to the endpoint.

use std::sync::Arc;

use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Uri, header};
use mainstay_config::settings::HostRewrite;
use mainstay_core::EndpointId;
use mainstay_core::event::AttemptId;

use super::Running;
use crate::body::{Gate, Outgoing};
use crate::pool::OnInformational;
use crate::service::{Place, Plan};

impl Running {
    /// The request as `place` is to see it.
    pub(super) fn request(
        &self,
        plan: &Plan,
        place: &Place,
        ids: (AttemptId, EndpointId),
    ) -> Request<Outgoing> {
        if let Some(part) = self.upload_part() {
            let is_creation = part.is_creation();
            let mut request = part.request(self, plan);
            if is_creation {
                let strip = plan.strip_prefix.as_deref();
                *request.uri_mut() = target(&self.head.uri, strip, &place.base_path);
            }
            set_host(request.headers_mut(), &plan.host, &place.host);
            self.say(plan, ids, request.headers_mut());
            return request;
        }
        let gate =
            expects_continue(&self.head.headers).then(|| Gate::within(plan.policy.attempt_timeout));
        let mut request = Request::new(self.body.outgoing(gate.clone()));
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = target(&self.head.uri, plan.strip_prefix.as_deref(), &place.base_path);
        let fields = self.ask.as_ref().unwrap_or(&self.head.headers);
        *request.headers_mut() = fields.clone();
        set_host(request.headers_mut(), &plan.host, &place.host);
        self.say(plan, ids, request.headers_mut());
        let offers = self.add_first_fields(request.headers_mut());
        if gate.is_some() || offers.is_some() {
            request.extensions_mut().insert(OnInformational(Arc::new(
                move |status, fields| match (status.as_u16(), &gate, &offers) {
                    (100, Some(gate), _) => gate.open(),
                    (104, _, Some(offers)) => offers.heed(fields),
                    _ => {}
                },
            )));
        }
        request
    }
}

/// Whether the body is to wait for a 100. Other expectations are the upstream's to refuse (RFC 9110, section 10.1.1).
fn expects_continue(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// The host that `place` is asked for.
pub(super) fn host(headers: &HeaderMap, rewrite: &HostRewrite, place: &Place) -> HeaderValue {
    let mut fields = HeaderMap::new();
    if let Some(host) = headers.get(header::HOST) {
        fields.insert(header::HOST, host.clone());
    }
    set_host(&mut fields, rewrite, &place.host);
    fields.remove(header::HOST).unwrap_or_else(|| place.host.clone())
}

fn set_host(headers: &mut HeaderMap, rewrite: &HostRewrite, endpoint: &HeaderValue) {
    match rewrite {
        HostRewrite::Endpoint => {
            headers.insert(header::HOST, endpoint.clone());
        }
        HostRewrite::Keep => {
            if !headers.contains_key(header::HOST) {
                headers.insert(header::HOST, endpoint.clone());
            }
        }
        HostRewrite::Set(host) => {
            // The settings were checked; a value that is none is left out for the endpoint's own.
            headers.insert(
                header::HOST,
                HeaderValue::try_from(host).unwrap_or_else(|_| endpoint.clone()),
            );
        }
    }
}

/// The request target in origin form: base path + what is left of the path + query.
fn target(uri: &Uri, strip: Option<&str>, base: &str) -> Uri {
    let whole = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if strip.is_none() && base.is_empty() && uri.authority().is_none() {
        return uri.clone();
    }
    let rest = strip.and_then(|prefix| strip_segments(whole, prefix)).unwrap_or(whole);
    if strip.is_none() && base.is_empty() {
        return uri.path_and_query().cloned().map_or_else(Uri::default, Uri::from);
    }
    // `OPTIONS *` has no path to put anything before.
    let joined = match rest {
        "*" => rest.to_owned(),
        _ if rest.starts_with('/') => format!("{base}{rest}"),
        _ => format!("{base}/{rest}"),
    };
    Uri::try_from(joined).unwrap_or_else(|_| uri.clone())
}

/// `whole` without `prefix`, if that ends at a segment's end.
fn strip_segments<'a>(whole: &'a str, prefix: &str) -> Option<&'a str> {
    let rest = whole.strip_prefix(prefix.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &'static str, strip: Option<&str>, base: &str, wanted: &str) {
        assert_eq!(target(&Uri::from_static(uri), strip, base).to_string(), wanted);
    }

    #[test]
    fn the_target_is_left_as_it_is_where_nothing_is_configured() {
        check("/a/b?c=d", None, "", "/a/b?c=d");
        check("*", None, "/base", "*");
    }

    #[test]
    fn an_absolute_target_becomes_one_of_origin_form() {
        check("http://api.test/a?b", None, "", "/a?b");
    }

    #[test]
    fn prefixes_are_taken_off_and_put_on_by_whole_segments() {
        check("/api/v1?x=1", Some("/api"), "/base", "/base/v1?x=1");
        check("/api", Some("/api"), "", "/");
        check("/api?x", Some("/api/"), "", "/?x");
        check("/apinot/v1", Some("/api"), "", "/apinot/v1");
        check("/v1", None, "/base", "/base/v1");
    }
}
