//! A request's body that its server may keep: the requests of a resumable upload, and what their answers say of it.
//!
//! Core's [`Upload`] says what is next, and its `Call` whether and when that is done. By the IETF's draft the first request is
//! the application's own, and a 104 before its answer names the upload; by tus the first one creates it, and the body follows
//! in the next. Both go on from an offset out of what is kept of the body.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header,
};
use mainstay_core::EndpointId;
use mainstay_core::event::AttemptId;
use mainstay_core::heal::upload::{Fault, Origin, Step, Upload};
use parking_lot::Mutex;

use super::request::host;
use super::running::Running;
use super::{Held, hint};
use crate::body::Outgoing;
use crate::pool::AnswerBody;
use crate::service::{Place, Plan};

/// The upload that a request's body is.
#[derive(Debug)]
pub(super) struct Uploading {
    /// Shared with whoever hears the offer, which is the connection's task.
    upload: Arc<Mutex<Upload>>,
    /// The attempt that is out.
    attempt: AttemptId,
    next: Next,
}

/// What its next request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// The application's, or the creation in its place.
    First,
    Ask,
    Append(u64),
}

/// Hears what a server offers.
#[derive(Clone, Debug)]
pub(super) struct Offers(Arc<Mutex<Upload>>);

impl Offers {
    /// A 104 came.
    pub(super) fn heed(&self, headers: &HeaderMap) {
        self.0.lock().on_offer(fields(headers));
    }
}

/// A request of an upload that isn't the application's own.
#[derive(Debug)]
pub(super) struct Part {
    method: Method,
    to: To,
    fields: Vec<(&'static str, String)>,
    /// The place of the body's first byte that goes with it.
    from: Option<u64>,
}

/// Where a request of an upload goes.
#[derive(Debug)]
enum To {
    /// Where the application's request does: it creates the upload.
    Creation,
    /// Where the upload is.
    Resource(Uri),
}

impl Uploading {
    fn part(&self) -> Option<Part> {
        let upload = self.upload.lock();
        let resource = || {
            let uri = upload.resource().and_then(|resource| Uri::try_from(resource).ok());
            debug_assert!(uri.is_some(), "core takes no resource that is no URI");
            // Nothing of an upload goes where the application's own request does.
            To::Resource(uri.unwrap_or_default())
        };
        Some(match self.next {
            Next::First if !upload.creates_first() => return None,
            Next::First => Part {
                method: Method::POST,
                to: To::Creation,
                fields: upload.first_fields(),
                from: None,
            },
            Next::Ask => Part {
                method: Method::HEAD,
                to: resource(),
                fields: upload.offset_fields(),
                from: None,
            },
            Next::Append(from) => Part {
                method: Method::PATCH,
                to: resource(),
                fields: upload.append_fields(from),
                from: Some(from),
            },
        })
    }

    /// What an answer says, and how many bytes more the server has than it said before.
    fn judge(&mut self, status: StatusCode, headers: &HeaderMap) -> (Result<Step, Fault>, u64) {
        let mut upload = self.upload.lock();
        let (before, status) = (upload.acknowledged(), status.as_u16());
        let step = match self.next {
            Next::Ask => upload.on_offset(status, fields(headers)),
            Next::First | Next::Append(_) => upload.on_answer(status, fields(headers)),
        };
        match step {
            Ok(Step::AskOffset) => self.next = Next::Ask,
            Ok(Step::Append { from }) => self.next = Next::Append(from),
            Ok(Step::Deliver | Step::Complete) | Err(_) => {}
        }
        (step, upload.acknowledged().saturating_sub(before))
    }

    /// Says in an answer that is delivered where what was created is: only the creation's own did.
    fn locate(&self, headers: &mut HeaderMap) {
        let upload = self.upload.lock();
        if let Some(resource) = upload.resource().filter(|_| upload.creates_first())
            && let Ok(resource) = HeaderValue::try_from(resource)
        {
            headers.entry(header::LOCATION).or_insert(resource);
        }
    }
}

impl Part {
    /// The request, but for the host.
    pub(super) fn request(self, running: &Running, plan: &Plan) -> Request<Outgoing> {
        let body = match self.from {
            Some(from) => running.body.outgoing_from(from, None),
            None => Outgoing::default(),
        };
        let mut request = Request::new(body);
        let is_creation = self.is_creation();
        let keys = &plan.idempotency_headers;
        let along = running.head.headers.iter().filter(|(name, _)| {
            Upload::goes_along(name.as_str()) && (is_creation || !keys.contains(name))
        });
        for (name, value) in along {
            request.headers_mut().append(name.clone(), value.clone());
        }
        add(&self.fields, request.headers_mut());
        if is_creation {
            request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        *request.method_mut() = self.method;
        if let To::Resource(resource) = self.to {
            *request.uri_mut() = resource;
        }
        request
    }

    /// Whether it goes to where the application's request does.
    pub(super) const fn is_creation(&self) -> bool {
        matches!(self.to, To::Creation)
    }
}

impl Running {
    /// Begins an upload with this attempt, if its body is to be one and the attempt doesn't go on with one.
    pub(super) fn prepare_upload(
        &mut self,
        plan: &Plan,
        place: &Place,
        attempt: AttemptId,
        endpoint: EndpointId,
    ) {
        match &mut self.uploading {
            Some(uploading) if self.call.continues_upload() => uploading.attempt = attempt,
            _ => self.uploading = self.new_upload(plan, place, attempt, endpoint),
        }
    }

    fn new_upload(
        &self,
        plan: &Plan,
        place: &Place,
        attempt: AttemptId,
        endpoint: EndpointId,
    ) -> Option<Uploading> {
        let settings = plan.policy.resumable_upload.as_ref()?;
        if self.is_grpc || !self.body.is_some() || self.ask.is_some() {
            return None;
        }
        let endpoints = &plan.service.settings().endpoints;
        let scheme = endpoints.get(usize::from(endpoint.0))?.scheme.as_str().into();
        let authority = host(&self.head.headers, &plan.host, place);
        let origin = Origin { scheme, authority: authority.to_str().ok()?.into() };
        let (method, length) = (self.head.method.as_str(), self.body.length());
        let asked = fields(&self.head.headers);
        let upload = Upload::of(settings.protocol, origin, method, length, asked).ok()?;
        Some(Uploading { upload: Arc::new(Mutex::new(upload)), attempt, next: Next::First })
    }

    /// The request of the attempt that is to be made, if it isn't the application's own.
    pub(super) fn upload_part(&self) -> Option<Part> {
        self.uploading.as_ref()?.part()
    }

    /// Makes the application's request one that a server may offer to continue, and gives who hears of that.
    pub(super) fn add_first_fields(&self, headers: &mut HeaderMap) -> Option<Offers> {
        let uploading = self.uploading.as_ref()?;
        add(&uploading.upload.lock().first_fields(), headers);
        Some(Offers(Arc::clone(&uploading.upload)))
    }

    /// Tells the machine how it stands with the upload.
    pub(super) fn tell_of_upload(&mut self) {
        let Some(uploading) = &self.uploading else { return };
        let mut upload = uploading.upload.lock();
        upload.on_sent(self.body.reached());
        if upload.resource().is_some() {
            self.call.on_upload_kept(uploading.attempt);
        }
    }

    /// An attempt of the upload broke.
    pub(super) fn upload_broke(&mut self, attempt: AttemptId) {
        let Some(uploading) = self.uploading.as_mut().filter(|it| it.attempt == attempt) else {
            return;
        };
        let next = uploading.upload.lock().on_break();
        match next {
            Ok(_) => uploading.next = Next::Ask,
            Err(_) => self.uploading = None,
        }
    }

    /// Gives an answer on if it is that of the call. Any other is told to the machine as what it says of the upload.
    pub(super) fn upload_answered(
        &mut self,
        attempt: AttemptId,
        endpoint: EndpointId,
        response: Response<AnswerBody>,
    ) -> Option<Response<AnswerBody>> {
        let Some(uploading) = self.uploading.as_mut().filter(|it| it.attempt == attempt) else {
            return Some(response);
        };
        let (code, hint) =
            (response.status().as_u16(), hint(response.status(), response.headers()));
        let (step, brought) = uploading.judge(response.status(), response.headers());
        if !matches!(step, Ok(Step::Deliver | Step::Complete)) {
            // A creation's answer is what names the upload.
            self.tell_of_upload();
            if let Some(what) = self.call.broken_answer(code, hint) {
                self.note_answer(attempt, endpoint, &what, None);
            }
        }
        match step {
            Ok(Step::Deliver) => return self.uploaded(response),
            Ok(Step::Complete) => return self.uploaded(complete(response)),
            Ok(Step::AskOffset) => {
                self.hold(Held { attempt, endpoint, response });
                self.tell(|call, ctx| call.on_upload_later(attempt, code, hint, ctx));
            }
            Ok(Step::Append { from }) => {
                let news = (from, brought);
                self.tell(|call, ctx| call.on_upload_append(attempt, code, news, ctx));
            }
            Err(why) => {
                self.uploading = None;
                self.tell(|call, ctx| call.on_upload_fault(attempt, code, why, ctx));
            }
        }
        None
    }

    fn uploaded(&mut self, mut response: Response<AnswerBody>) -> Option<Response<AnswerBody>> {
        if let Some(uploading) = self.uploading.take()
            && response.status().is_success()
        {
            uploading.locate(response.headers_mut());
        }
        Some(response)
    }
}

/// What tus answers to the last byte, from an answer that says that everything is there.
fn complete(response: Response<AnswerBody>) -> Response<AnswerBody> {
    let mut whole = Response::new(AnswerBody::whole(Bytes::new()));
    *whole.status_mut() = StatusCode::NO_CONTENT;
    let said = response.headers().iter();
    for (name, value) in said.filter(|(name, _)| is_about_uploads(name.as_str())) {
        whole.headers_mut().append(name.clone(), value.clone());
    }
    whole
}

fn is_about_uploads(name: &str) -> bool {
    name.starts_with("upload-") || name.starts_with("tus-")
}

/// Adds fields in place of those of the same names.
fn add(list: &[(&'static str, String)], headers: &mut HeaderMap) {
    for (name, value) in list {
        // What is said is digits and words of the protocol.
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
}

fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&str, &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()))
}

#[cfg(test)]
mod tests {
    use mainstay_core::heal::upload::Protocol;

    use super::*;

    /// Whatever a server names, what is taken of it can be asked for.
    #[test]
    fn a_resource_is_a_uri() {
        let mut taken = 0;
        for byte in 0..=u8::MAX {
            for (before, after) in [("/u/", "1"), ("/u?key=", "1"), ("", "/u"), ("/", "?")] {
                let location = [before.as_bytes(), &[byte], after.as_bytes()].concat();
                let protocol = Protocol::Ietf { interop_version: 8 };
                let origin = Origin { scheme: "http".into(), authority: "a".into() };
                let nothing = std::iter::empty();
                let mut upload = Upload::of(protocol, origin, "PUT", Some(1), nothing).unwrap();
                let offer: [(&str, &[u8]); 2] =
                    [("upload-draft-interop-version", b"8"), ("location", &location)];
                upload.on_offer(offer.into_iter());
                let Some(resource) = upload.resource() else { continue };
                assert!(Uri::try_from(resource).is_ok(), "{resource}");
                taken += 1;
            }
        }
        assert!(taken > 200, "{taken}");
    }
}
