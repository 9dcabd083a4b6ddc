//! The tables of the manual, which are those of the terminal as well.

use std::path::Path;

use super::{Beside, Cell, Results, millis, percent};
use crate::figures::Figures;
use crate::noise;
use crate::proxies::System;
use crate::support::text as as_text;

/// Everything, as Markdown.
pub(crate) fn text(results: &Results) -> String {
    let mut text = format!("    {}\n\n- machine: {}\n", results.typed, noise::machine());
    for (system, version) in &results.versions {
        text += &format!("- {system}: {version}\n");
    }
    let busy = if results.others > NOISE { "**Preliminary: the machine was busy.** " } else { "" };
    text += &format!(
        "\n{busy}Other programs and the host took {:.0} % of the machine in the median scenario. {} scenarios in {:.0} minutes.",
        results.others * 100.0,
        results.rows.len(),
        (results.seconds / 60.0).ceil()
    );
    text += &match &results.census {
        None => "\n".to_owned(),
        Some(census) => format!(" Reached: {census}.\n"),
    };
    text += &format!("\n{}", summary(results));
    text += &format!(
        "\n**Calls that succeeded**, and how long until they did again\n\n{}",
        success(results)
    );
    text += &format!(
        "\n**Latency and load**: p50 / p99; requests that servers saw, a call\n\n{}",
        costs(results)
    );
    text + &left_out(results) + &beside(results)
}

/// Puts it into a page, between its markers.
pub(crate) fn write(file: &Path, results: &Results) -> Result<(), String> {
    let page = std::fs::read_to_string(file).map_err(as_text)?;
    let parts = page.split_once(BEGIN).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(END)?;
        Some((before, after))
    });
    let (before, after) =
        parts.ok_or_else(|| format!("{} has no lines `{BEGIN}` and `{END}`", file.display()))?;
    std::fs::write(file, format!("{before}{BEGIN}\n{}{END}{after}", text(results))).map_err(as_text)
}

/// What came of all scenarios together.
fn summary(results: &Results) -> String {
    let row = |system: &System| {
        let all: Vec<&Figures> =
            results.rows.iter().filter_map(|row| row.figures(*system)).collect();
        let sum = |of: fn(&Figures) -> usize| all.iter().map(|figures| of(figures)).sum::<usize>();
        let streams = all.iter().filter_map(|figures| figures.streams);
        let (whole, of) = streams.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        let named = all.iter().filter_map(|figures| figures.explained);
        let (explained, breaks) =
            named.fold((0, 0), |(told, of), is| (told + usize::from(is), of + 1));
        let unharmed = all.iter().filter(|figures| figures.good == figures.calls).count();
        let mut extra: Vec<f64> = all.iter().map(|figures| figures.amplification).collect();
        extra.sort_by(f64::total_cmp);
        vec![
            system.to_string(),
            percent(sum(|figures| figures.good), sum(|figures| figures.calls)),
            format!("{unharmed} of {}", all.len()),
            sum(|figures| figures.duplicates).to_string(),
            sum(|figures| figures.lost).to_string(),
            sum(|figures| figures.wrong).to_string(),
            percent(whole, of),
            format!("{:.2}", extra.last().copied().unwrap_or_default()),
            format!("{explained} of {breaks}"),
        ]
    };
    let head = [
        "proxy",
        "calls that succeeded",
        "scenarios without a failed call",
        "writes doubled",
        "writes lost",
        "wrong answers",
        "streams whole",
        "most requests a call",
        "break named",
    ];
    table(&head, results.systems.iter().map(row).collect())
}

fn success(results: &Results) -> String {
    let cell = |cell: &Cell| match cell {
        Cell::None(_) => "-".to_owned(),
        Cell::Figures(figures) => {
            let mut text = percent(figures.good, figures.calls);
            let recovered = figures.recovered.map(|back| format!(" / {back}")).unwrap_or_default();
            if figures.good < figures.calls {
                text += &format!(", {}{recovered}", figures.masked);
            }
            for (count, what) in
                [(figures.duplicates, "doubled"), (figures.lost, "lost"), (figures.wrong, "wrong")]
            {
                if count > 0 {
                    text += &format!(", **{count} {what}**");
                }
            }
            if figures.explained == Some(false) {
                text += ", not named";
            }
            text
        }
    };
    by_scenario(results, cell)
}

fn costs(results: &Results) -> String {
    by_scenario(results, |cell| match cell {
        Cell::None(_) => "-".to_owned(),
        Cell::Figures(figures) => format!(
            "{} / {}; {:.2}",
            millis(figures.p50),
            millis(figures.p99),
            figures.amplification
        ),
    })
}

fn by_scenario(results: &Results, cell: impl Fn(&Cell) -> String) -> String {
    let names: Vec<String> = results.systems.iter().map(ToString::to_string).collect();
    let head: Vec<&str> =
        ["scenario"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let rows = results.rows.iter().map(|row| {
        let cells = row.cells.iter().map(|(_, found)| cell(found));
        std::iter::once(row.name.clone()).chain(cells).collect()
    });
    table(&head, rows.collect())
}

/// Why a cell has a dash.
fn left_out(results: &Results) -> String {
    let mut lines = String::new();
    for row in &results.rows {
        for (system, cell) in &row.cells {
            if let Cell::None(why) = cell {
                lines += &format!("- {}, {system}: {why}\n", row.name);
            }
        }
    }
    if lines.is_empty() { lines } else { format!("\n**Left out**\n\n{lines}") }
}

/// Where a peer is as good, and where it is better.
fn beside(results: &Results) -> String {
    let mut text = String::from("\n**Beside Mainstay**\n\n");
    for system in results.systems.iter().filter(|system| **system != System::MAINSTAY) {
        let of = |wanted: Beside| {
            let rows = results.rows.iter().filter(|row| row.beside(*system) == Some(wanted));
            rows.map(|row| row.name.as_str()).collect::<Vec<_>>()
        };
        let (better, same, worse) =
            (of(Beside::Better), of(Beside::AsGood), of(Beside::Worse).len());
        let listed = |names: &[&str]| match names {
            [] => "none".to_owned(),
            names => names.join(", "),
        };
        text += &format!(
            "- {system} is better in {} ({}), as good in {} ({}), worse in {worse}\n",
            better.len(),
            listed(&better),
            same.len(),
            listed(&same)
        );
    }
    text
}

/// A table whose columns stand below each other in a terminal too.
fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let head: Vec<String> = head.iter().map(|&word| word.to_owned()).collect();
    let mut lines = vec![head.clone(), vec![String::new(); head.len()]];
    lines.extend(rows);
    let width =
        |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    lines[1] = widths.iter().map(|&width| "-".repeat(width.max(3))).collect();
    let line = |line: &Vec<String>| {
        let cells = line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join(" | ")
    };
    lines.iter().map(|cells| format!("| {} |\n", line(cells))).collect()
}

const BEGIN: &str = "<!-- breaks: begin -->";
const END: &str = "<!-- breaks: end -->";

/// As in the benchmark: above it a core was shared.
const NOISE: f64 = 0.05;
