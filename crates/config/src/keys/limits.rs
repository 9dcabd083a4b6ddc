//! `[limits]`

use super::call::REPLAY_TOTAL_MOST;
use super::{GIB, KIB, Key, Kind, MIB, Rule, hours, key, length, millis, number, size};
use crate::settings::Limits;

pub(super) fn keys() -> Vec<Key<Limits>> {
    vec![
        key("head_size", size(KIB, MIB), |l: &mut Limits| &mut l.head_bytes)
            .says("Most of a request's head, line and fields; 431 beyond.")
            .low("Requests with large cookies or tokens are refused.")
            .high("Memory, for each connection."),
        key("header_count", number(1, 1000), |l: &mut Limits| &mut l.header_count)
            .says("Most fields in a request's head; 431 beyond.")
            .low("Requests are refused.")
            .high("Time to read hostile heads."),
        key("body_size", size(0, u64::MAX), |l: &mut Limits| &mut l.body_bytes)
            .or_off()
            .says("Most of a request's body; 413 beyond.")
            .low("Uploads are refused.")
            .high("Nothing here: bodies are streamed."),
        key("head_timeout", length(millis(100), hours(1)), |l: &mut Limits| &mut l.head_timeout)
            .says("From a request's first byte to the end of its head; 408 and close beyond.")
            .low("Slow applications are cut off.")
            .high("Dawdling clients hold connections."),
        key("idle_timeout", length(millis(100), hours(24)), |l: &mut Limits| &mut l.idle_timeout)
            .says("How long an application's connection may be quiet between requests.")
            .low("It has to connect anew; below its own pool's time, just as it sends.")
            .high("Idle connections hold file descriptors."),
        key("connections", number(1, 1_000_000), |l: &mut Limits| &mut l.connections)
            .says("Connections of applications at a time.")
            .low("Applications are refused.")
            .high("File descriptors and memory run out."),
        key("replay_total", size(0, REPLAY_TOTAL_MOST), |l: &mut Limits| &mut l.replay_bytes_total)
            .says("Request bodies kept to be sent again, all calls together.")
            .low("Under load requests can't be retried.")
            .high("Memory."),
        key("spill_total", size(64 * KIB, SPILL_TOTAL_MOST), |l: &mut Limits| &mut l.spill_bytes_total)
            .says("Request bodies in files for routes with `spill`, all calls together.")
            .low("Of many large uploads some can't be sent again.")
            .high("Disk, for as long as those calls last."),
        key("spill_dir", Kind::Text(Rule::Any), |l: &mut Limits| &mut l.spill_dir)
            .default_is("the system's directory for temporary files")
            .says("Where those files are, without a name and encrypted. Give one on a disk: `/tmp` is memory on some systems. Relative to where the proxy is started."),
        key("hold_total", size(0, REPLAY_TOTAL_MOST), |l: &mut Limits| &mut l.hold_bytes_total)
            .says("Bytes of answers that are held back before they are delivered (`heal.hold`), all calls together; what finds no room is delivered at once.")
            .low("Under load answers that break show through.")
            .high("Memory."),
        key("rings", number(0, 100_000), |l: &mut Limits| &mut l.rings)
            .says("Event streams that are kept for applications that come back (`heal.events.ring`), all routes together; further ones are passed on as they are, without ids.")
            .low("Applications whose connection breaks miss events.")
            .high("Tasks, and streams at upstreams."),
        key("ring_total", size(64 * KIB, REPLAY_TOTAL_MOST), |l: &mut Limits| &mut l.ring_bytes_total)
            .says("Bytes of the events that are kept, all streams together; what finds no room pushes out the oldest of its own stream.")
            .low("Applications that come back have a gap, and are told.")
            .high("Memory."),
        key("stale_total", size(64 * KIB, REPLAY_TOTAL_MOST), |l: &mut Limits| &mut l.stale_bytes_total)
            .says("Answers kept for when an upstream fails, all routes together; a quarter of it is for those that are just arriving. Nothing is taken where no route has `stale`.")
            .low("Answers are forgotten before they are needed.")
            .high("Memory."),
        key("answer_head_size", size(KIB, MIB), |l: &mut Limits| &mut l.answer_head_bytes)
            .says("Most of an upstream's answer head; beyond it the attempt breaks with `head-too-large`.")
            .low("Answers with large cookies break.")
            .high("Memory, for each connection."),
        key("http2_streams", number(1, 10_000), |l: &mut Limits| &mut l.http2_streams)
            .says("Streams at a time on one HTTP/2 connection of an application.")
            .low("It waits or opens more connections.")
            .high("One connection takes everything."),
    ]
}

/// More than the disks of one machine.
const SPILL_TOTAL_MOST: u64 = 64 * 1024 * GIB;
