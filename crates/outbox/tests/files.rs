//! The store's files: how they are made, copied, replaced and taken for something else.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod stage;

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use mainstay_core::outbox::{Next, WallTime};
use mainstay_outbox::store::{Access, Keep, OpenError, StoreError};
use mainstay_outbox::{Filter, Keys, Limits, NewDelivery, Page, Store};
use stage::{NOW, Stage, finish, new};

fn open(stage: &Stage, access: Access) -> Result<Store, OpenError> {
    Store::open(&stage.path(), Keys::default(), Limits::default(), access)
}

#[tokio::test]
async fn all_files_are_their_owners_only() {
    let stage = Stage::new();
    let store = stage.open();
    store.accept(new("api", None, "1")).await.unwrap();
    store.backup(stage.beside("copy")).await.unwrap();
    let mut seen = 0;
    for file in std::fs::read_dir(stage.dir()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", file.file_name());
        seen += 1;
    }
    assert!(seen >= 6, "database, log, its index, lock, commits, copy: {seen}");
}

#[tokio::test]
async fn the_right_to_deliver_goes_from_hand_to_hand_and_nobody_stops_storing() {
    let stage = Stage::new();
    let (old, next) = (stage.open(), stage.visit());
    assert!(matches!(next.serve(), Err(OpenError::InUse(_))));
    old.accept(new("api", None, "1")).await.unwrap();
    let offer = old.claim("api", NOW, 1).await.unwrap().offers.remove(0);
    old.finish(&offer, finish(Next::Delivered), NOW).await.unwrap();
    old.hand_over();
    old.serve().unwrap();
    old.hand_over();
    next.serve().unwrap();
    assert!(matches!(old.serve(), Err(OpenError::InUse(_))));
    assert!(matches!(old.claim("api", NOW, 1).await, Err(StoreError::Visitor)));
    old.accept(new("api", None, "2")).await.unwrap();
    next.accept(new("api", None, "3")).await.unwrap();
    let offers = next.claim("api", NOW, 9).await.unwrap().offers;
    let bodies: Vec<_> = offers.iter().map(|offer| offer.body.as_ref()).collect();
    assert_eq!(bodies, [b"2", b"3"]);
    assert_eq!(next.check().await.unwrap(), []);
}

#[tokio::test]
async fn a_file_of_an_older_version_isnt_changed_under_who_serves_it() {
    let stage = Stage::new();
    let fixture = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/version-1.db");
    std::fs::copy(fixture, stage.path()).unwrap();
    let lock = std::fs::File::create(stage.beside("outbox.db-lock")).unwrap();
    lock.try_lock().unwrap();
    assert!(matches!(open(&stage, Access::Visit), Err(OpenError::InUse(_))));
    assert!(std::fs::read(stage.path()).unwrap() == std::fs::read(fixture).unwrap());
    drop(lock);
    open(&stage, Access::Visit).unwrap();
}

#[tokio::test]
async fn a_database_of_somebody_elses_is_left_alone() {
    let stage = Stage::new();
    let db = rusqlite::Connection::open(stage.path()).unwrap();
    db.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)").unwrap();
    drop(db);
    let before = std::fs::read(stage.path()).unwrap();
    assert!(matches!(open(&stage, Access::Serve), Err(OpenError::NotOurs(_))));
    assert!(matches!(open(&stage, Access::Visit), Err(OpenError::NotOurs(_))));
    assert!(std::fs::read(stage.path()).unwrap() == before);
}

#[tokio::test]
async fn where_the_file_is_gone_or_emptied_its_log_is_not_removed() {
    for gone in [true, false] {
        let stage = Stage::new();
        let store = stage.open();
        store.accept(new("api", None, "1")).await.unwrap();
        let crashed = stage.as_a_crash_leaves_it();
        drop(store);
        if gone {
            std::fs::remove_file(crashed.path()).unwrap();
        } else {
            std::fs::write(crashed.path(), "").unwrap();
        }
        let log = std::fs::read(crashed.beside("outbox.db-wal")).unwrap();
        let error = open(&crashed, Access::Serve).unwrap_err();
        assert!(error.to_string().contains("is gone or empty"), "{error}");
        assert!(std::fs::read(crashed.beside("outbox.db-wal")).unwrap() == log);
    }
}

#[tokio::test]
async fn what_a_crash_left_of_a_file_that_was_being_made_is_made_anew() {
    let stage = Stage::new();
    std::fs::write(stage.beside("outbox.db-new"), "half").unwrap();
    std::fs::write(stage.beside("outbox.db-new-journal"), "half").unwrap();
    let store = stage.open();
    store.accept(new("api", None, "1")).await.unwrap();
}

#[tokio::test]
async fn another_name_of_the_file_is_the_same_store() {
    let stage = Stage::new();
    let _store = stage.open();
    let link = stage.beside("link.db");
    std::os::unix::fs::symlink(stage.path(), &link).unwrap();
    let second = Store::open(&link, Keys::default(), Limits::default(), Access::Serve);
    assert!(matches!(second, Err(OpenError::InUse(_))));
}

#[tokio::test]
async fn tables_that_are_not_as_they_were_made_are_named() {
    let stage = Stage::new();
    drop(stage.open());
    stage.sql(
        "DROP TRIGGER delivery_new; CREATE TRIGGER delivery_new AFTER INSERT ON delivery BEGIN SELECT 1; END;",
    );
    let error = open(&stage, Access::Serve).unwrap_err();
    assert!(error.to_string().contains("not as it was made: delivery_new"), "{error}");
}

#[tokio::test]
async fn a_copy_of_a_live_store_is_whole_and_of_one_moment() {
    let stage = Stage::new();
    let store = stage.open();
    let writing = {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..300 {
                store.accept(new("api", Some("a"), &number.to_string())).await.unwrap();
            }
        })
    };
    let mut copies = 0;
    while !writing.is_finished() {
        let copy = Stage::new();
        store.backup(copy.path()).await.unwrap();
        assert!(store.backup(copy.path()).await.is_err(), "it isn't written over");
        let copied = copy.open();
        assert_eq!(copied.check().await.unwrap(), []);
        let page = Page { after: None, most: 1000 };
        let list = copied.list(Filter::default(), page).await.unwrap();
        assert!(list.iter().zip(1..).all(|(one, place)| one.seq == place));
        copies += 1;
    }
    writing.await.unwrap();
    assert!(copies > 0);
    let nowhere = stage.beside("no/such/folder");
    assert!(store.backup(nowhere.clone()).await.is_err());
    assert!(!nowhere.exists());
}

#[tokio::test]
async fn the_disk_gets_back_what_is_forgotten() {
    let stage = Stage::new();
    let store = stage.open();
    let large = "x".repeat(100_000);
    for _ in 0..40 {
        store.accept(new("api", None, &large)).await.unwrap();
    }
    for offer in store.claim("api", NOW, 100).await.unwrap().offers {
        store.finish(&offer, finish(Next::Delivered), NOW).await.unwrap();
    }
    let keep = Keep { delivered: Duration::ZERO, dead: Duration::ZERO };
    for _ in 0..10 {
        store.tend(keep, WallTime(NOW.0 + 1)).await.unwrap();
    }
    drop(store);
    let size = std::fs::metadata(stage.path()).unwrap().len();
    assert!(size < 300_000, "{size}");
}

#[tokio::test]
async fn a_visitor_is_never_told_that_commits_are_lost_while_they_are_made() {
    let stage = Stage::new();
    let store = stage.open();
    let writing = {
        let store = store.clone();
        tokio::spawn(async move {
            for number in 0..150 {
                store.accept(new("api", None, &number.to_string())).await.unwrap();
            }
        })
    };
    while !writing.is_finished() {
        let path = stage.path();
        let visit = move || Store::open(&path, Keys::default(), Limits::default(), Access::Visit);
        drop(tokio::task::spawn_blocking(visit).await.unwrap().unwrap());
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn what_was_due_before_a_process_began_may_have_been_on_its_way() {
    let stage = Stage::new();
    let accepted = |lane, at| NewDelivery { accepted_at: at, due_at: at, ..new(lane, None, "1") };
    let store = stage.open();
    let now = store.now();
    store.accept(accepted("api", now)).await.unwrap();
    drop((store.claim("api", now, 1).await.unwrap().offers.remove(0), store));
    let store = stage.open();
    let cut = store.claim("api", now, 1).await.unwrap().offers.remove(0);
    assert!(cut.interrupted && !cut.maybe_done, "nobody knows");
    // After a call of this process it is known what became of it.
    let later = WallTime(store.now().0 + 1);
    let next = Next::Again { at: later, counts: true, hold_until: None };
    store.finish(&cut, finish(next), now).await.unwrap();
    assert!(!store.claim("api", later, 1).await.unwrap().offers.remove(0).interrupted);
    // One that comes now was never on its way.
    store.accept(accepted("other", later)).await.unwrap();
    assert!(!store.claim("other", later, 1).await.unwrap().offers.remove(0).interrupted);
}
