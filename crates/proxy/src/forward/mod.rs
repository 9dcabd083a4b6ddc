//! One request: examined, routed, made ready for the upstream, called, answered.
//!
//! [`handle`] is the whole path of a request through the proxy, top to bottom. It decides nothing about retries:
//! that is core's, behind [`mainstay::Client::call`].

mod access;
mod answer;
mod examine;
mod hop;
mod names;
mod outlook;
mod reply;
mod request;
mod stored;
mod upgrade;

use std::sync::Arc;

use http::{Request, Response, request::Parts};
use hyper::body::{Body, Incoming};
use mainstay::Source;

pub(crate) use access::Access;
pub(crate) use names::Names;
pub use outlook::{Outlook, OwnAnswer};
pub(crate) use reply::Reply;
pub(crate) use stored::of_row;
pub(crate) use upgrade::TUNNELS_PART_WITHIN;

use access::Line;

use crate::connection::{Active, Link};
use crate::problem::{Problem, Refusal};
use crate::worker::Local;

/// Answers a request that came over `link`.
pub(crate) async fn handle(link: Arc<Link>, request: Request<Incoming>) -> Response<Reply> {
    let local = link.worker().local();
    let active = link.begin();
    let (mut head, body) = request.into_parts();
    if head.version == http::Version::HTTP_10 {
        link.note_ends_by_close();
    }
    let mut line = local.access.as_ref().map(|access| Line::of(access, &link, &head));
    let is_head = head.method == http::Method::HEAD;
    let is_grpc = head.version == http::Version::HTTP_2 && mainstay::is_grpc(&head.headers);
    let response = match forward(&local, &active, &mut head, body).await {
        Ok(response) => response,
        Err(refused) if is_grpc => answer::of_grpc_problem(&refused),
        Err(refused) => answer::of_problem(refused, is_head),
    };
    if let Some(line) = &mut line {
        line.answered(&response);
    }
    response.map(|inner| Reply::new(inner, active, line))
}

/// A request that gets no answer of an upstream, with whether the connection can go on.
struct Refused {
    problem: Box<Problem>,
    close: bool,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        // What is malformed may hide where the next request begins.
        let close =
            matches!(refusal, Refusal::BadRequest(_) | Refusal::BodyTooLarge | Refusal::Connect);
        Self { problem: Box::new(Problem::of_refusal(refusal)), close }
    }
}

async fn forward(
    local: &Local,
    active: &Active,
    head: &mut Parts,
    body: Incoming,
) -> Result<Response<reply::Inner>, Refused> {
    let link = active.link();
    let host = examine::examine(head, link)?;
    examine::limits(head, body.size_hint().lower(), &local.limits)?;
    if let Some(outbox) = &local.outbox
        && let Some(page) = Box::pin(stored::page(outbox, head)).await
    {
        return page;
    }
    let route = local.table.find(head, host.name()).ok_or(Refusal::NoRoute)?;
    if let Some(ended) = request::ends_here(head)? {
        return Ok(ended);
    }
    let upgrade = request::prepare(head, link, host, route.forwarded);
    if let Some(outbox) = &local.outbox
        && stored::wanted(route, head, upgrade.is_some())
    {
        let empty = Request::new(()).into_parts().0;
        let head = std::mem::replace(head, empty);
        // In a box: the others of a connection needn't carry its room along.
        return Box::pin(stored::enter(local, outbox, route, link, head, body)).await;
    }
    if route.outbox.is_some() {
        // It is asked of us, for writes that are stored.
        head.headers.remove(stored::CALLBACK);
    }
    let source = if body.is_end_stream() { Source::Empty } else { Source::Incoming(body) };
    let empty = Request::new(()).into_parts().0;
    let head = std::mem::replace(head, empty);
    match local.client.call_from(link.origin(), &route.plan, head, source).await {
        Ok(answer) => Ok(answer::of_answer(answer, route, link, upgrade)),
        Err(unanswered) => {
            // What is left of the application's body isn't worth reading.
            let close = unanswered.request_error.is_some();
            Err(Refused { problem: Box::new(Problem::of_call(&unanswered)), close })
        }
    }
}
