//! Each target on its corpus, and on what a moment's chance makes of it. For longer: `cargo xtask fuzz`.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::time::Duration;

use mainstay_fuzz::{drive, targets};

#[track_caller]
fn check(name: &str) {
    let target = targets::ALL.iter().find(|target| target.name == name).unwrap();
    match drive::run(target, Duration::from_secs(1), 1) {
        Ok(done) => assert!(done.kept > 0 && done.made > 0, "{name} has done nothing: {done:?}"),
        Err(found) => panic!("{name}: {}\nthe input is in {}", found.what, found.file.display()),
    }
}

#[test]
fn whatever_an_upstream_answers() {
    check("answers");
}

#[test]
fn whatever_a_config_says() {
    check("config");
}

#[test]
fn whatever_is_said_of_keeping_an_answer() {
    check("degrade");
}

#[test]
fn whatever_a_name_server_answers() {
    check("dns");
}

#[test]
fn whatever_an_event_stream_says() {
    check("events");
}

#[test]
fn whatever_frames_come() {
    check("frames");
}

#[test]
fn whatever_hints_an_answer_gives() {
    check("hints");
}

#[test]
fn whatever_a_lab_file_says() {
    check("labs");
}

#[test]
fn whatever_a_server_says_of_ranges() {
    check("ranges");
}

#[test]
fn whatever_an_application_sends() {
    check("requests");
}

#[test]
fn whatever_goes_through_a_tunnel() {
    check("sockets");
}

#[test]
fn whatever_a_stored_head_says() {
    check("stored");
}

#[test]
fn whatever_a_server_says_of_an_upload() {
    check("uploads");
}

#[test]
fn whatever_a_world_says() {
    check("worlds");
}
