//! What is printed.

use std::fmt::Write as _;

use crate::{Cost, Options};

/// A table of all clients; the first is what the others are compared with.
pub(crate) fn text(names: &[&str], costs: &[Vec<Cost>], at_once: usize, options: &Options) -> String {
    let mut text = format!(
        "{} rounds of {} calls, {at_once} at a time; median (least-most)\n\n\
         | client | CPU a call, µs | x {} | allocations a call | bytes allocated a call |\n|---|---|---|---|---|\n",
        options.rounds, options.calls, names.first().unwrap_or(&"-"),
    );
    for (name, mine) in names.iter().zip(costs) {
        let cpu = spread(mine.iter().map(|cost| cost.cpu_micros));
        let ratio = spread(mine.iter().zip(&costs[0]).map(|(it, first)| it.cpu_micros / first.cpu_micros));
        let allocations = spread(mine.iter().map(|cost| cost.allocations));
        let bytes = spread(mine.iter().map(|cost| cost.bytes));
        let _ = writeln!(
            text,
            "| {name} | {} | {} | {:.1} | {:.0} |",
            shown(cpu, 1),
            shown(ratio, 2),
            allocations.1,
            bytes.1
        );
    }
    text
}

/// Least, median, most.
fn spread(values: impl Iterator<Item = f64>) -> (f64, f64, f64) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    match values.as_slice() {
        [] => (0.0, 0.0, 0.0),
        all => (all[0], all[all.len() / 2], all[all.len() - 1]),
    }
}

fn shown((least, median, most): (f64, f64, f64), digits: usize) -> String {
    format!("{median:.digits$} ({least:.digits$}-{most:.digits$})")
}
