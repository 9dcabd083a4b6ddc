//! The manual's page on what was found, written by what finds it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use mainstay_core::call::HedgeAfter;
use mainstay_core::upstream::Percentile;
use mainstay_sim::outcome::Recovery;
use mainstay_sim::{Checks, Policy, Report, Simulation, World, ready};

use crate::plot::Plot;
use crate::{backoff, budget, hedging, metastable};

const PEERS: [(&str, &str); 2] = [
    ("Envoy", include_str!("../../peers/envoy.toml")),
    (".NET", include_str!("../../peers/dotnet.toml")),
];

/// Our defaults, then the peers', in a world.
fn all(world: &World) -> Vec<Report> {
    let defaults = Policy::defaults(world).unwrap();
    let peers = PEERS.iter().map(|(name, text)| Policy::parse(name, text, world).unwrap());
    let policies = std::iter::once(defaults).chain(peers);
    policies.map(|policy| Simulation::new(world, &policy, Checks::Often).run()).collect()
}

fn ready_worlds() -> impl Iterator<Item = World> {
    ready::WORLDS.iter().map(|ready| World::parse(ready.text, None).unwrap())
}

#[test]
fn our_defaults_are_never_metastable_in_the_ten_worlds() {
    for world in ready_worlds() {
        let policy = Policy::defaults(&world).unwrap();
        let report = Simulation::new(&world, &policy, Checks::Often).run();
        assert_eq!(report.violations.0, 0, "{}: {:#?}", world.name, report.violations);
        assert!(!report.verdict.is_metastable, "{}", world.name);
        assert!(report.time_to_recover().is_some(), "{}: {:?}", world.name, report.verdict);
        assert_eq!(report.duplicates, 0, "{}", world.name);
    }
}

#[test]
fn a_total_outage_is_never_amplified_beyond_a_fifth() {
    for what in [
        "refuse",
        "blackhole",
        "hang",
        "status code=500",
        "status code=503",
        "reset-before",
        "throttle retry-after=none",
    ] {
        let text = format!(
            "[world]\nname = \"outage\"\nduration = \"100s\"\n[load]\narrivals = \"poisson\"\nrate = 200\nproxies = 4\n\
             [[endpoint]]\nname = \"a\"\n[[endpoint]]\nname = \"b\"\n\
             [[fault]]\nat = \"20s\"\nfor = \"60s\"\nendpoint = \"*\"\nwhat = \"{what}\"\n"
        );
        let world = World::parse(&text, None).unwrap();
        let policy = Policy::defaults(&world).unwrap();
        let report = Simulation::new(&world, &policy, Checks::Often).run();
        let each = |point: Duration| (point.as_millis() / report.width.as_millis()) as usize;
        let during = &report.points[each(20 * SECOND)..each(80 * SECOND)];
        let (attempts, calls) =
            during.iter().fold((0, 0), |sum, it| (sum.0 + it.attempts, sum.1 + it.started));
        assert!(attempts * 10 <= calls * 12, "{what}: {attempts} attempts, {calls} calls");
        assert!(!report.verdict.is_metastable, "{what}");
    }
}

#[test]
fn the_page_of_what_was_found_is_up_to_date() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let storm = metastable::POLICIES.map(|name| (name, metastable::report(name)));
    let mut files = vec![
        ("images/backoff.svg", backoff_plot()),
        ("images/retry-storm.svg", storm_plot(&storm)),
    ];
    let kept = std::fs::read_to_string(docs.join("simulated.md")).unwrap();
    let parts = [
        ("worlds", worlds()),
        ("backoff", backoff_table()),
        ("budget", budget_table()),
        ("storm", storm_table(&storm)),
        ("hedging", hedging_table()),
    ];
    let made = parts.iter().fold(kept, |page, (name, part)| {
        let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
        let (before, rest) = page.split_once(&begin).unwrap();
        let (_, after) = rest.split_once(&end).unwrap();
        format!("{before}{begin}{part}{end}{after}")
    });
    files.push(("simulated.md", made));
    for (name, made) in files {
        if std::env::var_os("MAINSTAY_BLESS").is_some() {
            std::fs::write(docs.join(name), made).unwrap();
            continue;
        }
        let kept = std::fs::read_to_string(docs.join(name)).unwrap();
        assert!(kept == made, "docs/{name} is out of date: run `cargo xtask bless`");
    }
}

fn worlds() -> String {
    let mut table = "| world | policy | success | p99 | attempts per call | recovered | metastable |\n|---|---|---|---|---|---|---|\n".to_owned();
    for world in ready_worlds() {
        for (place, report) in all(&world).iter().enumerate() {
            let name = if place == 0 { format!("`{}`", world.name) } else { String::new() };
            let policy = if place == 0 { "Mainstay" } else { &report.policy };
            writeln!(
                table,
                "| {name} | {policy} | {:.2} % | {} ms | {:.3} | {} | {} |",
                report.success_percent(),
                report.latency.p99.as_millis(),
                report.amplification(),
                recovered(report.verdict.recovery),
                if report.verdict.is_metastable { "**yes**" } else { "no" }
            )
            .unwrap();
        }
    }
    table
}

fn recovered(recovery: Recovery) -> String {
    match recovery {
        Recovery::NotNeeded | Recovery::After(Duration::ZERO) => "at once".to_owned(),
        Recovery::After(length) => format!("{:.1} s", length.as_secs_f64()),
        Recovery::Never => "never".to_owned(),
        Recovery::Unknown => "too early to say".to_owned(),
    }
}

fn backoff_table() -> String {
    let names: Vec<_> = backoff::PUBLISHED.iter().map(|(name, _, _)| *name).collect();
    let mut table =
        format!("| clients | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(names.len()));
    for (row, clients) in backoff::CLIENTS.iter().enumerate() {
        let cells = backoff::PUBLISHED.iter().map(|(_, way, published)| {
            let (time, writes) = backoff::means(*clients, *way);
            format!(
                "{time:.0} ({:.0}) · {writes:.0} ({:.0})",
                published[row].0.0, published[row].1.0
            )
        });
        writeln!(table, "| {clients} | {} |", cells.collect::<Vec<_>>().join(" | ")).unwrap();
    }
    table
}

fn backoff_plot() -> String {
    let curves = backoff::PUBLISHED.iter().map(|(name, way, _)| {
        let points =
            backoff::CLIENTS.map(|clients| (clients as f64, backoff::means(clients, *way).1));
        (*name, points.to_vec())
    });
    Plot {
        title: "Writes until each client has updated the row",
        x_unit: "clients",
        x: (200.0, 4),
        y: (8000.0, 4),
        shaded: None,
        curves: curves.collect(),
    }
    .svg()
}

fn budget_table() -> String {
    let mut table = "| failures | no budget | AWS 2.1 bucket | 20 % alone | Mainstay's default |\n|---|---|---|---|---|\n".to_owned();
    for failing in [5, 10, 20, 30, 50, 100] {
        let cells = [budget::NONE, budget::BUCKET, budget::SHARE, ""].map(|settings| {
            let report = budget::run_with(failing, settings);
            format!("{:.2} / {:.2}", report.amplification(), report.success_percent())
        });
        writeln!(table, "| {failing} % | {} |", cells.join(" | ")).unwrap();
    }
    table
}

fn hedging_table() -> String {
    let mut table =
        "| hedged | half | 99 % | 99.9 % | 99.99 % | more requests |\n|---|---|---|---|---|---|\n"
            .to_owned();
    let ways = [
        ("never", None),
        ("after 10 ms", Some(HedgeAfter::Fixed(Duration::from_millis(10)))),
        ("after p95", Some(HedgeAfter::Percentile(Percentile::P95))),
    ];
    for (name, after) in ways {
        let report = hedging::reads(after, hedging::BIGTABLE, 150);
        let millis = |length: Duration| length.as_secs_f64() * 1e3;
        writeln!(
            table,
            "| {name} | {:.2} ms | {:.1} ms | {:.1} ms | {:.0} ms | {:.1} % |",
            millis(report.latency.p50),
            millis(report.latency.p99),
            millis(report.latency.p999),
            hedging::tail_millis(&report, 100),
            hedging::extra_percent(&report)
        )
        .unwrap();
    }
    table
}

fn storm_table(reports: &[(&str, Report)]) -> String {
    let mut table = "| policy | success in the last minute | attempts per call | recovered |\n|---|---|---|---|\n".to_owned();
    for (name, report) in reports {
        writeln!(
            table,
            "| {name} | {:.1} % | {:.2} | {} |",
            metastable::success_at_the_end(report) * 100.0,
            report.amplification(),
            recovered(report.verdict.recovery)
        )
        .unwrap();
    }
    table
}

fn storm_plot(reports: &[(&str, Report)]) -> String {
    let curves = reports.iter().map(|(name, report)| {
        let width = report.width.as_secs_f64();
        // Five seconds a point: a curve for the eye.
        let each = (5.0 / width) as usize;
        let points = report.points.chunks(each).enumerate().map(|(place, points)| {
            let good: u64 = points.iter().map(|point| point.good).sum();
            (place as f64 * 5.0, good as f64 / 5.0)
        });
        (*name, points.collect())
    });
    Plot {
        title: "Calls that end well, a second; shaded: the trigger",
        x_unit: "seconds",
        x: (200.0, 4),
        y: (400.0, 4),
        shaded: Some((30.0, 70.0)),
        curves: curves.collect(),
    }
    .svg()
}

const SECOND: Duration = Duration::from_secs(1);
