//! What the proxy would do with a request before it calls anybody, for those who only want to know.
//!
//! The steps are those of [`super::forward`], in their order, asked by the same functions.

use http::request::Parts;
use mainstay_config::settings::{Route, Settings};
use serde_json::Value;

use super::{examine, request};
use crate::problem::{Problem, Refusal};
use crate::route::{Considered, considered};

/// Where a request would go.
#[derive(Clone, Debug)]
pub struct Outlook<'s> {
    /// The routes that it is held against, in their order, up to the first that matches. Empty when the request is refused for
    /// what it is.
    pub considered: Vec<Considered<'s>>,
    /// What the proxy answers itself, if no upstream is asked.
    pub answered: Option<OwnAnswer>,
}

/// An answer for which nobody is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnAnswer {
    /// Its status.
    pub status: u16,
    /// The problem document, if there is one.
    pub document: Option<Value>,
}

impl<'s> Outlook<'s> {
    /// Of a request with this head, under these settings.
    #[must_use]
    pub fn new(settings: &'s Settings, head: &Parts) -> Self {
        let mut outlook = Self { considered: Vec::new(), answered: None };
        outlook.answered = match outlook.walk(settings, head) {
            Ok(None) => None,
            Ok(Some(status)) => Some(OwnAnswer { status, document: None }),
            Err(refusal) => {
                let problem = Problem::of_refusal(refusal);
                let document = Some(problem.document());
                Some(OwnAnswer { status: problem.status().as_u16(), document })
            }
        };
        outlook
    }

    /// The status that the proxy itself answers with, if no upstream is asked and nothing is wrong.
    fn walk(&mut self, settings: &'s Settings, head: &Parts) -> Result<Option<u16>, Refusal> {
        let host = examine::examine_unsent(head)?;
        examine::limits(head, 0, &settings.limits)?;
        self.considered = considered(settings, head, host.name());
        if self.route().is_none() {
            return Err(Refusal::NoRoute);
        }
        let ended = request::ends_here(&mut head.clone())?;
        Ok(ended.map(|answer| answer.status().as_u16()))
    }

    /// The route that matches, if one does.
    #[must_use]
    pub fn route(&self) -> Option<&'s Route> {
        self.considered.last().filter(|last| last.failed.is_empty()).map(|last| last.route)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Condition;
    use http::Request;

    const CONFIG: &str = r#"
        [upstream.a]
        endpoints = ["http://127.0.0.1:1"]
        [[route]]
        name = "writes"
        path = "/v1"
        methods = ["POST"]
        headers = { x-team = "blue" }
        [[route]]
        name = "reads"
        hosts = ["api.test"]
        path = "/v1"
    "#;

    fn outlook(method: &str, target: &str, host: Option<&str>, seen: impl FnOnce(Outlook<'_>)) {
        let loaded = mainstay_config::parse(CONFIG, "test").unwrap();
        let mut request = Request::builder().method(method).uri(target);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let head = request.body(()).unwrap().into_parts().0;
        seen(Outlook::new(&loaded.settings, &head));
    }

    #[test]
    fn each_route_is_asked_until_one_matches() {
        outlook("GET", "/v1/x", Some("api.test"), |outlook| {
            assert_eq!(outlook.considered[0].route.name, "writes");
            let failed = [Condition::Method, Condition::Header(0)];
            assert_eq!(outlook.considered[0].failed, failed);
            assert_eq!(outlook.route().map(|route| route.name.as_str()), Some("reads"));
            assert_eq!(outlook.answered, None);
        });
    }

    #[test]
    fn what_no_route_matches_is_answered_with_the_problem_that_an_application_would_get() {
        outlook("GET", "/v2", Some("api.test:80"), |outlook| {
            assert_eq!(outlook.considered.len(), 2);
            assert!(outlook.route().is_none());
            let answered = outlook.answered.unwrap();
            assert_eq!(answered.status, 404);
            assert_eq!(answered.document.unwrap()["code"], "no-route");
        });
    }

    #[test]
    fn what_is_refused_for_itself_meets_no_route() {
        for (method, target, host, status) in [
            ("CONNECT", "api.test:443", Some("api.test"), 405),
            ("GET", "/v1", None, 400),
            ("GET", "/v1", Some("a b"), 400),
        ] {
            outlook(method, target, host, |outlook| {
                let answered = outlook.answered.map(|answered| answered.status);
                assert_eq!((answered, outlook.considered.len()), (Some(status), 0), "{method}");
            });
        }
    }
}
