//! The result as Markdown tables, the same for the terminal and for the manual.

use super::facts::Facts;
use super::idle::Idle;
use super::options::Options;
use super::rounds::{Sample, Series};
use super::stats::Spread;
use super::system::System;

/// Everything that one run found.
pub(super) fn text(options: &Options, all: &[Series], facts: &Facts) -> String {
    let mut text = format!("    {}\n\n{facts}\n{}\n", options.typed, noise(all));
    text += &format!(
        "\n**Under load**: {} connections, {} x {} s, median (least-most). All share the cores, so latency here is mostly waiting \
         for one.\n\n{}",
        options.connections,
        options.rounds,
        options.seconds,
        busy(all)
    );
    text += &format!("\n**At low load**: one connection, one request at a time.\n\n{}", quiet(all));
    if options.post {
        text += &format!(
            "\n**Writes** of 1 KiB, over as many connections.\n\n{}",
            one_kind(all, |series| &series.writes)
        );
    }
    if options.h2 {
        text += &format!(
            "\n**HTTP/2**: four connections with 25 streams each.\n\n{}",
            one_kind(all, |series| &series.streams)
        );
    }
    if options.tls {
        text += &format!(
            "\n**TLS on both sides**: small answers over kept connections.\n\n{}",
            one_kind(all, |series| &series.secured)
        );
    }
    if all.iter().any(|series| !series.idle.is_empty()) {
        text += &format!("\n**Idle client connections**, each after one answer.\n\n{}", idle(all));
    }
    let targets = targets(all);
    if targets.is_empty() { text } else { format!("{text}\n**Targets**\n\n{targets}") }
}

/// Whether others had so much of the machine that the figures are preliminary.
fn noise(all: &[Series]) -> String {
    let samples = all
        .iter()
        .flat_map(|series| series.busy.iter().chain(&series.quiet).chain(&series.streams))
        .chain(all.iter().flat_map(|series| series.writes.iter().chain(&series.secured)));
    let Some(others) = Spread::of(samples.map(|sample| sample.others * 100.0)) else {
        return String::new();
    };
    let verdict =
        if others.median > NOISE_PERCENT { "**Preliminary: the machine was busy.** " } else { "" };
    format!(
        "{verdict}Other programs and the host took {:.0} % of the machine in the median measurement, {:.0} % in the worst.",
        others.median, others.most
    )
}

fn busy(all: &[Series]) -> String {
    let row = |series: &Series| {
        vec![
            series.system.name().into(),
            shown(cpu(&series.busy), 1),
            shown(ratio(all, series, System::Haproxy, |series| &series.busy), 2),
            shown(Spread::of(series.busy.iter().map(|sample| sample.load.per_second)), 0),
            shown(Spread::of(series.busy.iter().filter_map(|sample| sample.load.p50_us)), 0),
            shown(Spread::of(series.busy.iter().filter_map(|sample| sample.load.p99_us)), 0),
            errors(&series.busy),
        ]
    };
    let head =
        ["system", "CPU a request, µs", "x HAProxy", "requests/s", "p50, µs", "p99, µs", "errors"];
    table(&head, all.iter().map(row))
}

fn quiet(all: &[Series]) -> String {
    let row = |series: &Series| {
        vec![
            series.system.name().into(),
            shown(Spread::of(series.quiet.iter().filter_map(|sample| sample.load.p50_us)), 0),
            shown(added(all, series), 0),
            shown(cpu(&series.quiet), 1),
            errors(&series.quiet),
        ]
    };
    table(
        &["system", "p50, µs", "added to direct, µs", "CPU a request, µs", "errors"],
        all.iter().map(row),
    )
}

fn one_kind(all: &[Series], which: fn(&Series) -> &Vec<Sample>) -> String {
    let measured = all.iter().filter(|series| !which(series).is_empty());
    let row = |series: &Series| {
        let samples = which(series);
        vec![
            series.system.name().into(),
            shown(cpu(samples), 1),
            shown(ratio(all, series, System::Haproxy, which), 2),
            shown(Spread::of(samples.iter().map(|sample| sample.load.per_second)), 0),
            errors(samples),
        ]
    };
    table(&["system", "CPU a request, µs", "x HAProxy", "requests/s", "errors"], measured.map(row))
}

fn idle(all: &[Series]) -> String {
    let measured = all.iter().filter(|series| !series.idle.is_empty());
    let row = |series: &Series| {
        let of = |figure: fn(&Idle) -> f64| Spread::of(series.idle.iter().map(figure));
        vec![
            series.system.name().into(),
            shown(of(|idle| idle.connections as f64), 0),
            shown(of(|idle| idle.before_kib as f64 / 1024.0), 1),
            shown(of(|idle| idle.with_them_kib as f64 / 1024.0), 1),
            shown(of(Idle::kib_each), 2),
        ]
    };
    let head = ["system", "connections", "before, MiB", "with them, MiB", "KiB each"];
    table(&head, measured.map(row))
}

/// What Mainstay is meant to reach, and whether it did.
fn targets(all: &[Series]) -> String {
    let Some(ours) = find(all, System::Mainstay) else { return String::new() };
    let mut lines = String::new();
    for (peer, most) in MOST_CPU {
        let Some(ratio) = ratio(all, ours, peer, |series| &series.busy) else { continue };
        let verdict = verdict(ratio.median <= most, ours.busy.len() >= FEWEST_ROUNDS);
        lines += &format!(
            "- {verdict}: CPU a request at most {most} x {}'s; it is {:.2} x\n",
            peer.name(),
            ratio.median
        );
    }
    let Some(peer) = find(all, System::Haproxy) else { return lines };
    if let (Some(added), Some(most)) = (added(all, ours), added(all, peer)) {
        let verdict = verdict(added.median <= most.median, ours.quiet.len() >= FEWEST_ROUNDS);
        lines += &format!(
            "- {verdict}: added to the median latency at most what haproxy adds, {:.0} µs; it is {:.0} µs\n",
            most.median, added.median
        );
    }
    let each = |series: &Series| Spread::of(series.idle.iter().map(Idle::kib_each));
    if let (Some(each), Some(most)) = (each(ours), each(peer)) {
        let enough = ours.idle.iter().all(|idle| idle.connections >= FEWEST_IDLE);
        let verdict = verdict(each.median <= most.median, enough);
        lines += &format!(
            "- {verdict}: an idle client connection takes at most what haproxy's takes, {:.2} KiB; it is {:.2} KiB\n",
            most.median, each.median
        );
    }
    lines
}

fn verdict(reached: bool, enough: bool) -> &'static str {
    match (enough, reached) {
        (false, _) => "not judged, the run is too short",
        (true, true) => "met",
        (true, false) => "missed",
    }
}

fn cpu(samples: &[Sample]) -> Option<Spread> {
    Spread::of(samples.iter().filter_map(|sample| sample.cpu_us))
}

/// CPU a request as a ratio to a peer's of the same round.
fn ratio(
    all: &[Series],
    of: &Series,
    peer: System,
    which: fn(&Series) -> &Vec<Sample>,
) -> Option<Spread> {
    let peer = which(find(all, peer)?);
    let ratios =
        which(of).iter().zip(peer).filter_map(|(ours, peer)| Some(ours.cpu_us? / peer.cpu_us?));
    Spread::of(ratios)
}

/// Median latency at low load beyond that of the origin alone in the same round.
fn added(all: &[Series], of: &Series) -> Option<Spread> {
    let direct = find(all, System::Direct).filter(|_| of.system != System::Direct)?;
    let rounds = of.quiet.iter().zip(&direct.quiet);
    Spread::of(rounds.filter_map(|(ours, direct)| Some(ours.load.p50_us? - direct.load.p50_us?)))
}

fn find(all: &[Series], system: System) -> Option<&Series> {
    all.iter().find(|series| series.system == system)
}

fn errors(samples: &[Sample]) -> String {
    samples.iter().map(|sample| sample.load.errors).sum::<u64>().to_string()
}

fn shown(spread: Option<Spread>, decimals: usize) -> String {
    spread.map_or("-".into(), |spread| spread.text(decimals))
}

/// A Markdown table whose columns stand below each other in a terminal too.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
    let mut lines = vec![head.clone(), head.iter().map(|_| String::new()).collect()];
    lines.extend(rows);
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    lines[1] = widths.iter().map(|&width| "-".repeat(width)).collect();
    let cell = |(text, width): (&String, &usize)| format!("{text:<width$}");
    let line =
        |line: &Vec<String>| line.iter().zip(&widths).map(cell).collect::<Vec<_>>().join(" | ");
    lines.iter().map(|cells| format!("| {} |\n", line(cells))).collect()
}

/// The answer to "what does it cost beside the proxy I have?" is to be "less".
const MOST_CPU: [(System, f64); 2] = [(System::Haproxy, 0.75), (System::Envoy, 0.3)];
/// Two per cent is what the benchmark itself and a quiet system take; above five a core was shared.
const NOISE_PERCENT: f64 = 5.0;
/// The median of fewer can be the one that was disturbed.
const FEWEST_ROUNDS: usize = 3;
/// Fewer fit into memory that the process has anyway.
const FEWEST_IDLE: usize = 1000;

#[cfg(test)]
mod tests {
    use super::super::load::Load;
    use super::*;

    fn sample(cpu_us: Option<f64>, p50_us: f64) -> Sample {
        let load = Load {
            requests: 1,
            per_second: 1.0,
            p50_us: Some(p50_us),
            p99_us: Some(p50_us),
            errors: 0,
        };
        Sample { load, cpu_us, others: 0.0 }
    }

    fn series(system: System, figures: &[(Option<f64>, f64)], idle: Vec<Idle>) -> Series {
        let samples: Vec<Sample> = figures.iter().map(|&(cpu, p50)| sample(cpu, p50)).collect();
        Series {
            system,
            busy: samples.clone(),
            quiet: samples,
            writes: Vec::new(),
            streams: Vec::new(),
            secured: Vec::new(),
            idle,
        }
    }

    fn three_rounds() -> Vec<Series> {
        let idle = Idle { connections: 1000, before_kib: 1_000, with_them_kib: 10_000 };
        vec![
            series(System::Direct, &[(None, 40.0), (None, 80.0), (None, 50.0)], Vec::new()),
            series(
                System::Haproxy,
                &[(Some(20.0), 70.0), (Some(40.0), 150.0), (Some(20.0), 90.0)],
                Vec::new(),
            ),
            series(
                System::Mainstay,
                &[(Some(18.0), 60.0), (Some(44.0), 140.0), (Some(16.0), 80.0)],
                vec![idle],
            ),
        ]
    }

    #[test]
    fn ratios_are_made_within_a_round() {
        let all = three_rounds();
        let ratio = ratio(&all, &all[2], System::Haproxy, |series| &series.busy).unwrap();
        assert_eq!(ratio.text(2), "0.90 (0.80-1.10)");
    }

    #[test]
    fn added_latency_is_that_beyond_the_origin_alone() {
        let all = three_rounds();
        assert_eq!(added(&all, &all[1]).unwrap().text(0), "40 (30-70)");
        assert_eq!(added(&all, &all[0]), None);
    }

    #[test]
    fn each_target_is_marked_as_met_or_missed() {
        let mut all = three_rounds();
        all[1].idle = vec![Idle { connections: 1000, before_kib: 1_000, with_them_kib: 2_000 }];
        let envoys = series(System::Envoy, &[(Some(90.0), 0.0); 3], Vec::new());
        assert_eq!(targets(&all[..2]), "");
        all.push(envoys);
        assert_eq!(
            targets(&all),
            "\
- missed: CPU a request at most 0.75 x haproxy's; it is 0.90 x
- met: CPU a request at most 0.3 x envoy's; it is 0.20 x
- met: added to the median latency at most what haproxy adds, 40 µs; it is 30 µs
- missed: an idle client connection takes at most what haproxy's takes, 1.00 KiB; it is 9.00 KiB
"
        );
    }

    #[test]
    fn a_short_run_is_not_judged() {
        let mut all = three_rounds();
        all[2].busy.truncate(1);
        let targets = targets(&all);
        assert!(targets.contains("- not judged, the run is too short: CPU"), "{targets}");
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [vec!["haproxy".to_owned(), "1".to_owned()]];
        assert_eq!(
            table(&["who", "µs each"], rows.into_iter()),
            "\
| who     | µs each |
| ------- | ------- |
| haproxy | 1       |
"
        );
    }
}
