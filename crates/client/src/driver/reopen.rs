//! A connection that had switched protocols is opened again: it broke before anything was said over it, so that another one does as
//! well, if its end agrees to what the application was told.

use std::time::Duration;

use http::{HeaderMap, HeaderName, Response, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use mainstay_core::call::Connection;
use mainstay_core::event::AttemptId;
use mainstay_core::{Action, BreakKind, EndpointId};

use super::running::Running;
use super::{Held, hint};
use crate::pool::AnswerBody;
use crate::service::Plan;

/// What a switch of protocols agreed upon.
#[derive(Debug)]
pub(super) struct Handshake {
    plan: Plan,
    told: HeaderMap,
}

impl Handshake {
    /// That of an answer with these fields.
    pub(super) fn of(plan: &Plan, fields: &HeaderMap) -> Box<Self> {
        let mut told = HeaderMap::new();
        for (name, _) in AGREED {
            for value in fields.get_all(&name) {
                told.append(&name, value.clone());
            }
        }
        Box::new(Self { plan: plan.clone(), told })
    }

    /// Opens another connection by attempts, until one agrees or the machine wants no more of them.
    pub(super) async fn reopen(
        &self,
        running: &mut Running,
        kind: BreakKind,
        within: Duration,
    ) -> Option<OnUpgrade> {
        running.tunnel_broke(kind, within);
        loop {
            match running.next_action() {
                Some(Action::Attempt { attempt, endpoint, connection }) => {
                    self.attempt(running, attempt, endpoint, connection).await;
                }
                Some(Action::Line(entry)) => running.line_up(entry).await,
                Some(Action::Continue { attempt }) => {
                    let mut held = running.answer_of(attempt)?;
                    return held.response.extensions_mut().remove::<OnUpgrade>();
                }
                Some(Action::Cut(_)) => return None,
                // What is to be cancelled heeds it itself.
                Some(Action::Cancel { .. } | Action::Keep { .. }) => {}
                Some(
                    action @ (Action::Deliver { .. } | Action::Fail(_) | Action::Commit { .. }),
                ) => {
                    debug_assert!(false, "{action:?} after the switch");
                }
                None if running.call.is_over() => return None,
                None => {
                    if !running.sleep(&self.plan).await {
                        return None;
                    }
                }
            }
        }
    }

    async fn attempt(
        &self,
        running: &mut Running,
        attempt: AttemptId,
        endpoint: EndpointId,
        connection: Connection,
    ) {
        match running.outcome(&self.plan, attempt, endpoint, connection).await {
            Some(Ok(response)) => self.judge(running, attempt, endpoint, response),
            Some(Err(broken)) => running.take_in(attempt, endpoint, Err(broken)),
            None => {}
        }
    }

    fn judge(
        &self,
        running: &mut Running,
        attempt: AttemptId,
        endpoint: EndpointId,
        response: Response<AnswerBody>,
    ) {
        let status = response.status();
        let broken = running.call.broken_answer(status.as_u16(), hint(status, response.headers()));
        if broken.is_some() {
            running.take_in(attempt, endpoint, Ok(response));
            // It says how the endpoint is; as an answer it is of no use.
            drop(running.answer_of(attempt));
            return;
        }
        match self.difference(status, response.headers()) {
            None => {
                running.hold(Held { attempt, endpoint, response });
                running.tell(|call, ctx| call.on_resumed(attempt, status.as_u16(), ctx));
            }
            Some(why) => {
                running.tell(|call, ctx| call.on_mismatch(attempt, status.as_u16(), why, ctx));
            }
        }
    }

    /// The code of what the answer doesn't agree to.
    fn difference(&self, status: StatusCode, fields: &HeaderMap) -> Option<&'static str> {
        if status != StatusCode::SWITCHING_PROTOCOLS {
            return Some("status");
        }
        let differs = |name: &HeaderName| !fields.get_all(name).iter().eq(self.told.get_all(name));
        AGREED.iter().find(|(name, _)| differs(name)).map(|(_, why)| *why)
    }
}

/// What the application was told, and the code of another one (RFC 6455, section 4.2.2). The key is the same, so its answer is.
const AGREED: [(HeaderName, &str); 3] = [
    (header::SEC_WEBSOCKET_ACCEPT, "other-accept"),
    (header::SEC_WEBSOCKET_PROTOCOL, "other-protocol"),
    (header::SEC_WEBSOCKET_EXTENSIONS, "other-extensions"),
];
