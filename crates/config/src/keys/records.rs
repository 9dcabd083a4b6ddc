//! `[records]`

use super::{GIB, KIB, Key, Kind, Rule, key, number, size};
use crate::settings::{RecordedCalls, Records};

pub(super) fn keys() -> Vec<Key<Records>> {
    vec![
        key("memory", number(1, 100_000), |r: &mut Records| &mut r.memory)
            .says("Broken calls that are kept in memory, and as many failed ones beside them.")
            .low("An outage's first calls are forgotten before anybody looks.")
            .high("Memory: about 2 KB each, 40 KB at worst."),
        key("file", Kind::Text(Rule::Any), |r: &mut Records| &mut r.file)
            .default_is("none")
            .says("File that records are appended to, one JSON object a line, made if it isn't there; relative to where the proxy is started. `mainstay explain --file` reads it."),
        key("file_size", size(KIB, 64 * GIB), |r: &mut Records| &mut r.file_bytes)
            .says("Size at which the file is rotated: `x.jsonl` becomes `x.1.jsonl`.")
            .low("An outage's records push each other out.")
            .high("Disk."),
        key("files", number(0, 1000), |r: &mut Records| &mut r.files)
            .says("Rotated files that are kept.")
            .low("Older records are gone.")
            .high("Disk."),
        key("calls", Kind::choice::<RecordedCalls>(), |r: &mut Records| &mut r.calls)
            .says("Which calls are written: all in which something broke, or those only of which the application felt it."),
    ]
}
