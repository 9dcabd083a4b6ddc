//! Active checks: asking an endpoint how it is.

use std::sync::Arc;

use mainstay_config::settings::Probe;

use crate::pool::{Broken, Target};

/// Checks `target` once, over a connection of its own.
///
/// # Errors
///
/// What broke.
pub async fn run(target: &Arc<Target>, probe: &Probe) -> Result<(), Broken> {
    let _ = (target, probe);
    todo!()
}
