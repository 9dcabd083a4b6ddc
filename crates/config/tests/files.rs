//! Files: those that are read, and those that they name.

use std::fs;
use std::path::PathBuf;

use mainstay_config::{MistakeKind, load, parse};

const UPSTREAM: &str = "[upstream.a]\nendpoints = [\"https://a.example\", \"https://b.example\"]\n";

/// A file of its own for each test.
fn file(name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("config-files");
    fs::create_dir_all(&folder).expect("the target directory is ours");
    let path = folder.join(name);
    fs::write(&path, content).expect("the target directory is ours");
    path
}

#[track_caller]
fn check_refused(path: PathBuf, kind: MistakeKind, part: &str) {
    let errors = load(path).map(|_| ()).expect_err("it should be refused");
    assert_eq!(
        errors.list().iter().map(|mistake| mistake.kind).collect::<Vec<_>>(),
        [kind],
        "{errors}"
    );
    assert!(errors.to_string().contains(part), "{errors}");
}

#[test]
fn what_cannot_be_read_is_told_with_its_name() {
    check_refused("no/such.toml".into(), MistakeKind::Unreadable, "no/such.toml");
    check_refused(
        file("latin1.toml", b"a = 1\nb = \"\xe9\""),
        MistakeKind::Unreadable,
        "in line 2",
    );
    check_refused(
        file("large.toml", vec![b'#'; (16 << 20) + 1]),
        MistakeKind::Unreadable,
        "16 MiB",
    );
}

#[test]
fn files_are_relative_to_the_directory_and_have_to_be_there() {
    let pem = file("ca.pem", "");
    let loaded = load(file("with-ca.toml", format!("{UPSTREAM}tls.ca = \"ca.pem\"\n"))).unwrap();
    assert_eq!(loaded.settings.upstreams[0].connect.tls.ca.as_ref(), Some(&pem));
    let missing = file("without-ca.toml", format!("{UPSTREAM}tls.ca = \"gone.pem\"\n"));
    check_refused(missing, MistakeKind::Unreadable, "gone.pem");
    let folder = file("folder-ca.toml", format!("{UPSTREAM}tls.ca = \"..\"\n"));
    check_refused(folder, MistakeKind::Unreadable, "that isn't a file");
}

#[test]
fn a_token_comes_from_a_file_or_the_environment_and_is_never_shown() {
    file("token", "s3cret\n");
    let text = format!("{UPSTREAM}[admin]\naddress = \"0.0.0.0:9900\"\n");
    let loaded = load(file("token.toml", format!("{text}token_file = \"token\"\n"))).unwrap();
    let token = loaded.settings.admin.as_ref().unwrap().token.as_ref().unwrap();
    assert_eq!(token.reveal(), "s3cret");
    assert!(!format!("{:?}", loaded.settings).contains("s3cret"));
    assert!(!mainstay_config::print(&loaded.settings).contains("s3cret"));
    // Cargo sets this one for tests.
    let loaded = parse(&format!("{text}token_env = \"CARGO_PKG_NAME\"\n"), "f").unwrap();
    let token = loaded.settings.admin.as_ref().unwrap().token.as_ref().unwrap();
    assert_eq!(token.reveal(), "mainstay-config");
    let unset =
        file("unset.toml", format!("{text}token_env = \"MAINSTAY_TEST_NOBODY_SETS_THIS\"\n"));
    check_refused(unset, MistakeKind::Unreadable, "token_env");
}

#[test]
fn a_loaded_file_is_printed_and_read_as_the_same() {
    file("cert.pem", "");
    file("key.pem", "");
    let listener = "[[listener]]\naddress = \"127.0.0.1:8443\"\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n";
    let loaded =
        load(file("tls.toml", format!("listen = \"127.0.0.1:80\"\n{listener}{UPSTREAM}"))).unwrap();
    assert_eq!(loaded.settings.listeners.len(), 2);
    let again = load(file("tls-printed.toml", mainstay_config::print(&loaded.settings))).unwrap();
    assert_eq!(again.settings, loaded.settings);
}
