//! The status resource of a delivery: `GET status_path/ID`, and the API's answer at `GET status_path/ID/answer`.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, Response, header};
use mainstay::stored::INCOMPLETE;
use mainstay_core::outbox::WallTime;
use mainstay_outbox::{DeliveryId, Detail, State};
use mainstay_record::rfc3339;
use serde_json::{Value, json};

use super::super::reply::Inner;
use super::super::{Refused, hop, request};
use super::prefer::Preferences;
use super::{cant, mark, place};
use crate::outbox::Outbox;
use crate::problem::Refusal;

/// The answer to a request for something below the status path; `None` if it isn't.
pub(in super::super) async fn page(
    outbox: &Arc<Outbox>,
    head: &Parts,
) -> Option<Result<Response<Inner>, Refused>> {
    let below = head.uri.path().strip_prefix(outbox.settings().status_path.as_str())?;
    let below = below.strip_prefix('/').or_else(|| below.is_empty().then_some(""))?;
    let page = asked(outbox, head, below).await;
    Some(page.map(|page| if head.method == Method::HEAD { without_body(page) } else { page }))
}

/// As a HEAD wants it.
fn without_body(page: Response<Inner>) -> Response<Inner> {
    let (mut head, body) = page.into_parts();
    if let Inner::Whole(bytes) = &body {
        head.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    }
    Response::from_parts(head, Inner::Empty)
}

async fn asked(
    outbox: &Arc<Outbox>,
    head: &Parts,
    below: &str,
) -> Result<Response<Inner>, Refused> {
    if !matches!(head.method, Method::GET | Method::HEAD) {
        return Err(Refusal::MethodNotAllowed("GET, HEAD").into());
    }
    let (id, rest) = below.split_once('/').map_or((below, None), |(id, rest)| (id, Some(rest)));
    let id: DeliveryId = id.parse().map_err(|_| Refusal::NoDelivery)?;
    if let Some(patience) = Preferences::of(&head.headers).wait {
        outbox.settled(id, patience).await.map_err(cant(outbox))?;
    }
    match rest {
        None => {
            let detail = outbox.store().detail(id).await.map_err(cant(outbox))?;
            let text = document(outbox, &detail).to_string();
            let mut response = Response::new(Inner::Whole(text.into()));
            mark(response.headers_mut(), id);
            Ok(response)
        }
        Some("answer") => answer_of(outbox, id).await,
        Some(_) => Err(Refusal::NoDelivery.into()),
    }
}

/// The API's last answer, as it came but for what concerned its connection.
pub(super) async fn answer_of(outbox: &Outbox, id: DeliveryId) -> Result<Response<Inner>, Refused> {
    let detail = outbox.store().detail(id).await.map_err(cant(outbox))?;
    let (head, body) = match detail.answer {
        Ok(Some(answer)) => answer,
        Ok(None) => return Err(Refusal::NoAnswerYet.into()),
        Err(error) => {
            tracing::error!(%error, delivery = %id, "a stored answer can't be read");
            return Err(Refusal::OutboxDown.into());
        }
    };
    if head.fields.iter().any(|field| field.name() == INCOMPLETE.as_str()) {
        return Err(Refusal::AnswerIncomplete.into());
    }
    let mut head = head.to_answer().map_err(|error| {
        tracing::error!(%error, delivery = %id, "a stored answer isn't one");
        Refusal::OutboxDown
    })?;
    hop::strip(&mut head.headers);
    head.headers.remove(header::CONTENT_LENGTH);
    request::append(&mut head.headers, header::VIA, request::via(http::Version::HTTP_11));
    mark(&mut head.headers, id);
    Ok(Response::from_parts(head, Inner::Whole(body)))
}

fn document(outbox: &Outbox, detail: &Detail) -> Value {
    let summary = &detail.summary;
    let time = |at: WallTime| rfc3339(at.0);
    let is_waiting = summary.state == State::Waiting;
    let has_answer = matches!(detail.answer, Ok(Some(_)));
    let status = match &detail.answer {
        Ok(Some((head, _))) => head.status,
        _ => None,
    };
    let place = place(outbox, summary.id);
    json!({
        "id": summary.id,
        "state": summary.state.name(),
        "reason": summary.reason,
        "upstream": summary.upstream,
        "lane": summary.lane,
        "key": summary.key,
        "accepted_at": time(summary.accepted_at),
        "gives_up_at": summary.state.is_open().then(|| time(summary.expires_at)),
        "finished_at": summary.finished_at.map(time),
        "next_call_at": is_waiting.then(|| time(summary.due_at)),
        "behind_others": summary.behind,
        "maybe_done": summary.maybe_done,
        "calls": summary.calls,
        "history": detail.history,
        "answer": has_answer.then(|| json!({ "status": status, "at": format!("{place}/answer") })),
    })
}
