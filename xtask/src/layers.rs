//! The house's rule: a crate depends on lower layers only.

/// Layer of each crate; `lab` and `xtask` stand beside the house.
const LAYERS: [(&str, u8); 9] = [
    ("core", 1),
    ("config", 2),
    ("record", 2),
    ("outbox", 2),
    ("client", 3),
    ("sim", 3),
    ("proxy", 4),
    ("cli", 5),
    ("lab", 0),
];

/// The crates of the house that a manifest depends on, outside of its tests.
fn dependencies(manifest: &str) -> Vec<&'static str> {
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let named = |line: &str| {
        let name = line.split([' ', '=', '.']).next().unwrap_or_default();
        LAYERS.iter().map(|(layer, _)| *layer).find(|layer| {
            name == format!("mainstay-{layer}") || (*layer == "client" && name == "mainstay")
        })
    };
    section.lines().filter_map(named).collect()
}

/// What is wrong with a crate's arrows.
fn wrong_arrows(name: &str, manifest: &str) -> Vec<String> {
    let layer =
        |name: &str| LAYERS.iter().find(|(known, _)| *known == name).map_or(0, |(_, layer)| *layer);
    dependencies(manifest)
        .into_iter()
        .filter(|below| match *below {
            // The binary starts it. The simulator reads its faults with the lab's own reader: two readers of one
            // vocabulary would come to mean different things by it.
            "lab" => !matches!(name, "cli" | "sim"),
            below => layer(below) >= layer(name),
        })
        .map(|below| {
            format!("{name} (layer {}) depends on {below} (layer {})", layer(name), layer(below))
        })
        .collect()
}

#[test]
fn each_crate_depends_on_lower_layers_only() {
    let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates");
    let mut wrong = Vec::new();
    for (name, _) in LAYERS {
        let manifest = std::fs::read_to_string(format!("{crates}/{name}/Cargo.toml")).unwrap();
        wrong.extend(wrong_arrows(name, &manifest));
    }
    assert!(wrong.is_empty(), "wrong arrows: {wrong:#?}");
    let found = std::fs::read_dir(crates).unwrap().count();
    assert_eq!(found, LAYERS.len(), "a new crate needs its layer here");
}

#[test]
fn a_wrong_arrow_is_named() {
    let manifest = "[package]\n[dependencies]\nmainstay-record = { workspace = true }\nmainstay-core.workspace = true\n";
    assert_eq!(wrong_arrows("config", manifest), ["config (layer 2) depends on record (layer 2)"]);
    assert_eq!(wrong_arrows("core", "\n[dependencies]\nmainstay = {}\n").len(), 1);
}

/// The one module that may hold `unsafe`: what the system tells of a socket.
const MAY_BE_UNSAFE: &str = "client/src/connect/system.rs";

#[test]
fn only_one_module_may_be_unsafe() {
    let crates = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates");
    let mut folders = vec![std::path::PathBuf::from(crates)];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs")
                && std::fs::read_to_string(&path).unwrap().contains("unsafe_code")
            {
                found.push(path);
            }
        }
    }
    let [only] = found.as_slice() else { panic!("more than one module allows unsafe: {found:?}") };
    assert!(only.ends_with(MAY_BE_UNSAFE), "{only:?}");
}
