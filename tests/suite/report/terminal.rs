//! A line for each scenario as it ends.

use super::{Cell, Row, percent};

/// The scenario, and how each proxy fared.
pub(crate) fn row(row: &Row) -> String {
    let cells = row.cells.iter().map(|(system, cell)| match cell {
        Cell::None(_) => format!("{system} -"),
        Cell::Figures(figures) => {
            let mut cell = format!("{system} {}", percent(figures.good, figures.calls));
            for (what, count) in
                [("doubled", figures.duplicates), ("wrong", figures.wrong), ("lost", figures.lost)]
            {
                if count > 0 {
                    cell += &format!(" ({count} {what})");
                }
            }
            cell
        }
    });
    let cells: Vec<String> = cells.collect();
    let mut line = format!("{}: {}", row.name, cells.join(", "));
    for miss in &row.misses {
        line += &format!("\n      Mainstay misses: {miss}");
    }
    if let (false, Some(figures)) =
        (row.misses.is_empty(), row.figures(crate::proxies::System::MAINSTAY))
    {
        line += &format!("\n      {:?}", figures.bad);
    }
    line
}
