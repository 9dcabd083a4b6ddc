//! What holds for every text: reading it never panics, what is printed is read as the same settings, and the description
//! of the keys fits the fields that they fill.

use std::time::Duration;

use mainstay_core::Ratio;
use proptest::prelude::*;

use crate::draft::{
    AdminDraft, CallDraft, EndpointDraft, ListenerDraft, RouteDraft, TopDraft, UpstreamDraft,
};
use crate::keys::{self, Key, Kind, Rule, Value};
use crate::{MistakeKind, Profile, lint, parse, print, text};

/// Reads a text and does with it whatever can be done.
fn exercise(text: &str) {
    match parse(text, "f") {
        Err(errors) => assert!(errors.to_string().starts_with("error: ")),
        Ok(loaded) => {
            assert!(loaded.lint().len() <= lint(&loaded.settings).len(), "{text}");
            check_round_trip(&loaded.settings);
        }
    }
}

#[track_caller]
fn check_round_trip(settings: &crate::Settings) {
    let printed = print(settings);
    match parse(&printed, "printed") {
        Ok(again) => assert_eq!(&again.settings, settings, "{printed}"),
        Err(errors) => panic!("{errors}\n{printed}"),
    }
}

/// A line for a key: its table, and the line in it.
fn lines<T>(keys: &[Key<T>], seed: u64) -> Vec<(String, String)> {
    let able = keys.iter().enumerate().filter(|(_, key)| key.field.is_some());
    able.filter_map(|(index, key)| {
        let value = sample(key, seed.rotate_left(index as u32))?;
        Some((key.section().to_owned(), format!("{} = {value}", key.name())))
    })
    .collect()
}

/// A value within the bounds of a key, written.
fn sample<T>(key: &Key<T>, seed: u64) -> Option<String> {
    if key.off && seed.is_multiple_of(5) {
        return Some("false".into());
    }
    let between = |min: u64, max: u64| match max - min {
        u64::MAX => seed,
        // The bounds themselves are worth a look.
        span => [min, max, min + seed % (span + 1)][(seed % 3) as usize],
    };
    let value = match &key.kind {
        Kind::Length { min, max } => {
            let (min, max) = (min.as_nanos() as u64, max.as_nanos() as u64);
            Value::Length(Duration::from_nanos(between(min, max)))
        }
        Kind::Size { min, max } | Kind::Number { min, max } => Value::Number(between(*min, *max)),
        Kind::Factor { min, max } => Value::Number(between(*min, *max)),
        Kind::Share { above_zero, below_one } => {
            let parts = between(u64::from(*above_zero), 10_000 - u64::from(*below_one));
            Value::Share(Ratio::from_share(parts as f64 / 10_000.0)?)
        }
        Kind::Percentile { .. } if seed.is_multiple_of(2) => Value::Text("p95".into()),
        Kind::Percentile { min, max, .. } => {
            let (min, max) = (min.as_nanos() as u64, max.as_nanos() as u64);
            Value::Length(Duration::from_nanos(between(min, max)))
        }
        Kind::Flag => Value::Flag(seed.is_multiple_of(2)),
        Kind::Choice(words) => Value::Text(words[seed as usize % words.len()].into()),
        Kind::Statuses { min, max } => {
            let from = between(u64::from(*min), u64::from(*max)) as u16;
            Value::Statuses(vec![(from, from.saturating_add((seed % 40) as u16).min(*max))])
        }
        Kind::Text(rule) => Value::Text(sample_text(*rule)?.into()),
        Kind::Texts(rule) => Value::List(vec![sample_text(*rule)?.into()]),
        Kind::File => Value::Text("dir/a \"file\".pem".into()),
        _ => return None,
    };
    key.kind.show(&value)
}

fn sample_text(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::Name => "a \"name\" \u{e9}\\",
        Rule::Any => "any\ttext\n",
        Rule::HostHeader => "[::1]:80",
        Rule::HostPattern => "*.example.com",
        Rule::Host => "a.example",
        Rule::Path => "/v1/{id}/**",
        Rule::PlainPath => "/v1",
        Rule::ProbePath => "/health?deep=1",
        Rule::Method => "PATCH",
        Rule::FieldName => "x-key",
        Rule::Field => "x-mode: a: \"b\"",
        Rule::FieldValue => "text/plain; charset=utf-8",
        Rule::Address => "127.0.0.1:81",
        Rule::Url => "https://a.example/v1",
        Rule::Database => "postgresql://ann@db.example/a?sslmode=require",
        Rule::Lane => "json:/customer/id",
        Rule::Attribute => "deployment.environment.name=test = \"1\"",
        Rule::Upstream | Rule::Profile => return None,
    })
}

/// A file with the lines that `picks` choose.
fn file(picks: &[u64], profile: Option<Profile>) -> String {
    let seed = picks.first().copied().unwrap_or_default();
    let mut text = String::new();
    let mut tables = vec![
        (String::new(), String::new(), lines(&keys::top(), seed)),
        (
            "upstream.a".into(),
            "endpoints = [\"https://a.example\", \"http://b\"]".into(),
            lines(&keys::upstream(), seed),
        ),
        (
            "route".into(),
            "query = { a = true, \"b c\" = \"d\" }".into(),
            lines(&keys::route(), seed),
        ),
    ];
    for (table, head, lines) in &mut tables {
        let chosen = |index: usize| picks.iter().any(|pick| pick % KEYS == index as u64);
        let lines: Vec<_> = lines
            .iter()
            .enumerate()
            .filter(|(index, _)| chosen(*index))
            .map(|(_, line)| line)
            .collect();
        match table.as_str() {
            "" => {}
            "route" => text.push_str("[[route]]\n"),
            table => text.push_str(&format!("[{table}]\n")),
        }
        text.push_str(&format!("{head}\n"));
        if let (Some(profile), "upstream.a") = (profile, table.as_str()) {
            text.push_str(&format!("profile = {}\n", text::quoted(profile.name())));
        }
        for (section, line) in lines {
            text.push_str(&if section.is_empty() {
                format!("{line}\n")
            } else {
                format!("{section}.{line}\n")
            });
        }
    }
    text
}

const BASE: &str = include_str!("../tests/cases/lint-all.toml");

proptest! {
    #[test]
    fn no_text_panics(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        exercise(&text);
        exercise(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn no_damage_to_a_file_panics(at in any::<prop::sample::Index>(), to in any::<prop::sample::Index>(), put in "[-a-z0-9\"'=\\[\\]{}.,#\n ]{0,6}") {
        let mut text = BASE.to_owned();
        let (from, end) = (at.index(text.len()), to.index(text.len()));
        text.replace_range(from.min(end)..from.max(end).min(from.min(end) + 40), &put);
        exercise(&text);
    }

    #[test]
    fn no_value_at_any_key_panics(key in any::<prop::sample::Index>(), value in any::<prop::sample::Index>()) {
        let values = [
            "0", "-1", "1e999", "nan", "-0.0", "18446744073709551616", "0xffffffffffffffffff", "true", "false", "[]", "{}",
            "\"\"", "\"99999999999999999999d\"", "\"0.00000000000000000000001s\"", "\"\\u0000\"", "1979-05-27", "[[1], {a = 2}]",
            "[\"!\", \"\", \"-\", 0]", "{ a = { b = 1 } }", "\"\u{1F980}\"", "\"1e3s\"", "\"-5%\"",
        ];
        let value = values[value.index(values.len())];
        let all: Vec<String> = [
            keys::top().iter().map(|key| format!("{} = {value}\n[upstream.a]\nendpoints = \"http://a\"", key.path)).collect::<Vec<_>>(),
            keys::upstream().iter().map(|key| format!("[upstream.a]\nendpoints = \"http://a\"\n{} = {value}", key.path)).collect(),
            keys::route().iter().map(|key| format!("[upstream.a]\nendpoints = \"http://a\"\n[[route]]\n{} = {value}", key.path)).collect(),
        ].concat();
        exercise(&all[key.index(all.len())]);
    }

    #[test]
    fn what_is_printed_is_read_as_the_same_settings(
        picks in prop::collection::vec(any::<u64>(), 0..14),
        profile in prop::option::of(prop::sample::select(&Profile::ALL[..])),
    ) {
        if let Ok(loaded) = parse(&file(&picks, profile), "f") {
            check_round_trip(&loaded.settings);
        }
    }
}

#[test]
fn each_key_alone_is_accepted_at_its_bounds_and_printed_as_the_same() {
    let mut refused = Vec::new();
    for seed in 0..3 {
        for index in 0..KEYS {
            let text = file(&[seed * KEYS * 31 + index * 7, index], None);
            match parse(&text, "f") {
                Ok(loaded) => check_round_trip(&loaded.settings),
                // Some need another key beside them: a certificate its key, a cost its capacity.
                Err(errors) if errors.list().iter().all(|mistake| needs_another(mistake.kind)) => {}
                Err(errors) => refused.push(format!("{text}\n{errors}")),
            }
        }
    }
    assert!(refused.is_empty(), "{} refused, the first:\n{}", refused.len(), refused[0]);
}

fn needs_another(kind: MistakeKind) -> bool {
    // Two lines may be picked of which one switches the other's table off; that isn't TOML.
    let is_off = kind == MistakeKind::Syntax;
    is_off || matches!(kind, MistakeKind::Missing | MistakeKind::Contradiction)
}

#[test]
fn the_defaults_and_each_profile_are_printed_and_read_as_the_same() {
    check_round_trip(&parse(crate::example(), "example").unwrap().settings);
    for profile in Profile::ALL {
        let loaded = parse(&file(&[], Some(profile)), "f").unwrap();
        check_round_trip(&loaded.settings);
    }
}

/// Each key's own value can be written to it again, whatever it is.
fn check_fields<T>(keys: &[Key<T>], draft: &mut T) {
    for key in keys {
        let Some(field) = &key.field else { continue };
        if key.kind == Kind::Section {
            // What is off has no fields.
            assert!(field.set(draft, Value::Flag(true)), "{}", key.path);
        }
        let value = field.get(draft);
        assert!(field.set(draft, value), "{}", key.path);
        assert!(!key.text.is_empty(), "{} has no text", key.path);
        for seed in [0, 1, 2, 3, 4] {
            let Some(text) = sample(key, seed) else { continue };
            let text = format!("x = {text}");
            let table = toml::de::DeTable::parse(&text).unwrap();
            let value = table.get_ref().get("x").unwrap().get_ref();
            if matches!(value, toml::de::DeValue::Boolean(false)) {
                continue;
            }
            let read = key.kind.read(value).unwrap();
            assert!(field.set(draft, read.clone()), "{} = {text}", key.path);
            assert_eq!(field.get(draft), read, "{} = {text}", key.path);
        }
    }
}

#[test]
fn the_description_of_each_key_fits_the_field_that_it_fills() {
    check_fields(&keys::top(), &mut TopDraft::default());
    check_fields(&keys::upstream(), &mut UpstreamDraft::new());
    check_fields(&keys::route(), &mut RouteDraft::new(CallDraft::default()));
    check_fields(&keys::endpoint(), &mut EndpointDraft::default());
    check_fields(&keys::admin(), &mut AdminDraft::default());
    check_fields(&keys::listener(), &mut ListenerDraft::default());
}

/// A prime above the number of keys of the largest table.
const KEYS: u64 = 199;
