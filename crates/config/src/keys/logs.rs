//! `[access_log]`

use super::{GIB, KIB, Key, Kind, Rule, key, number, size};
use crate::settings::{AccessFormat, AccessLog};

pub(super) fn access() -> Vec<Key<AccessLog>> {
    vec![
        key("file", Kind::Text(Rule::Any), |a: &mut AccessLog| &mut a.file)
            .default_is("none: there is no access log")
            .says("File that a line is appended to for each request, made if it isn't there; relative to where the proxy is started. \"-\" is standard output."),
        key("format", Kind::choice::<AccessFormat>(), |a: &mut AccessLog| &mut a.format)
            .says("\"combined\", as Apache and nginx have it, or one JSON object a line. Queries are never written."),
        key("headers", Kind::Flag, |a: &mut AccessLog| &mut a.headers)
            .says("Whether `Referer`, without its query, and `User-Agent` are written; else `-`."),
        key("file_size", size(KIB, 64 * GIB), |a: &mut AccessLog| &mut a.file_bytes)
            .says("Size at which the file is rotated: `x.log` becomes `x.1.log`.")
            .low("What happened an hour ago is gone.")
            .high("Disk."),
        key("files", number(0, 1000), |a: &mut AccessLog| &mut a.files)
            .says("Rotated files that are kept.")
            .low("Older lines are gone.")
            .high("Disk."),
    ]
}
