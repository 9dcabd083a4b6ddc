//! The last broken calls, and which of them are wanted.

use mainstay_record::{CallFilter, CallRecord, WrongFilter};
use serde_json::{Value, json};

use super::paths;
use crate::proxy::Control;

/// The document of `/calls`. `query` may say which calls, and how many.
///
/// # Errors
///
/// The first parameter that can't be used.
pub(super) fn document(control: &Control, query: Option<&str>) -> Result<Value, WrongFilter> {
    let parameters = paths::parameters(query);
    let pairs = parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let filter = CallFilter::of(pairs)?;
    let recent = control.shared.recorder.recent();
    if let Some(upstream) = filter.upstream() {
        known(upstream, control, &recent)?;
    }
    Ok(json!({ "version": 1, "calls": filter.pick(recent) }))
}

/// A name that no upstream has would look like one to which nothing happened. One that a reload has taken away is known as
/// long as its calls are.
fn known(upstream: &str, control: &Control, recent: &[CallRecord]) -> Result<(), WrongFilter> {
    let current = control.shared.current();
    let names: Vec<&str> = current.services.iter().map(|service| &**service.name()).collect();
    if names.contains(&upstream) || recent.iter().any(|record| *record.upstream == *upstream) {
        return Ok(());
    }
    Err(WrongFilter::new("upstream", upstream, "there is no such upstream", names.join(", ")))
}
