//! All metrics as one request.

use super::{Message, Resource, scope};

/// An `ExportMetricsServiceRequest` of a scope's metrics.
pub(crate) fn request(resource: &Resource, metrics: &[u8]) -> Vec<u8> {
    let mut request = Message::with_capacity(metrics.len() + 1024);
    request.message(1, |all| {
        resource.write(all, 1);
        all.message(2, |scoped| {
            scope(scoped, 1);
            scoped.raw(metrics);
        });
    });
    request.into_bytes()
}
