//! What a test asks and what it reads of the record.

use http::Request;
use mainstay_record::{AttemptRecord, Recorder};

/// The head of a request with this method.
pub fn request(method: &str) -> http::request::Parts {
    Request::builder().method(method).uri("/x").body(()).unwrap().into_parts().0
}

/// Each attempt of the only broken call.
pub fn attempts(recorder: &Recorder) -> Vec<AttemptRecord> {
    recorder.recent().remove(0).attempts
}

/// An attempt's steps, each with its outcome and what broke.
pub fn steps(attempt: &AttemptRecord) -> String {
    let each = attempt.steps.iter().map(|step| {
        let code = step.code.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
        format!("{} {}{code}", step.step, step.outcome)
    });
    each.collect::<Vec<_>>().join(", ")
}
