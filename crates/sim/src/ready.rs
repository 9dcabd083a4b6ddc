//! Worlds that come along: the ten troubles that a policy should be tried in first.

/// A world that comes along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// What it is called.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

macro_rules! ready {
    ($($name:literal),* $(,)?) => {
        /// All of them.
        pub const WORLDS: &[Ready] = &[
            $(Ready { name: $name, text: include_str!(concat!("../../../worlds/", $name, ".toml")) }),*
        ];
    };
}

// `include_str` takes nothing but literals, so a function won't do.
ready! {
    "one-endpoint-dies",
    "gray-failure",
    "slow-zone",
    "region-lost",
    "retry-storm",
    "thundering-herd",
    "rate-limit",
    "rolling-deploy",
    "flapping",
    "cold-cache",
}

/// The world of this name.
#[must_use]
pub fn world(name: &str) -> Option<&'static Ready> {
    WORLDS.iter().find(|world| world.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::World;

    #[test]
    fn each_world_is_one_and_has_its_name_and_its_line() {
        for ready in WORLDS {
            let world = World::parse(ready.text, None).unwrap();
            assert_eq!(world.name, ready.name);
            assert!(!world.about.is_empty(), "{}", world.name);
        }
        assert_eq!(world("flapping").map(|it| it.name), Some("flapping"));
    }

    #[test]
    fn no_world_in_the_folder_is_left_out() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../worlds");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), WORLDS.len());
    }
}
