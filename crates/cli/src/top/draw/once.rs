//! How things are, as a block of text.

use std::fmt::Write as _;

use super::ink::{Text, width};
use super::now;
use crate::top::model::Model;

/// The headline, the figures, open incidents, and each upstream with its endpoints; as wide as it needs to be.
pub(crate) fn block(model: &Model) -> String {
    let mut out = String::new();
    for line in now::head(model, usize::MAX) {
        add(&mut out, model, &line);
    }
    let Some(picture) = &model.known.picture else { return out };
    for (place, upstream) in picture.upstreams.iter().enumerate() {
        add(&mut out, model, &now::upstream(model, place));
        let titles = now::COLUMNS.iter().map(|column| super::plain(column.title)).collect();
        let rows = (0..upstream.endpoints.len()).map(|number| now::endpoint(model, place, number));
        let rows: Vec<Vec<Text>> = std::iter::once(titles).chain(rows).collect();
        let widths: Vec<usize> = (0..now::COLUMNS.len())
            .map(|column| {
                rows.iter()
                    .map(|row| row.get(column).map_or(0, |cell| width(cell)))
                    .max()
                    .unwrap_or_default()
            })
            .collect();
        for row in &rows {
            let mut line = Text::new();
            for ((cell, column), widest) in row.iter().zip(now::COLUMNS).zip(&widths) {
                let blanks = " ".repeat(widest.saturating_sub(width(cell)));
                let blanks = super::plain(blanks);
                let parts =
                    if column.is_right { [blanks, cell.clone()] } else { [cell.clone(), blanks] };
                line.extend(parts.into_iter().flatten().chain(super::plain("  ")));
            }
            add(&mut out, model, &line);
        }
        out.push('\n');
    }
    out
}

fn add(out: &mut String, model: &Model, line: &Text) {
    let words: String = line.iter().map(|(_, words)| model.paper.clean(words)).collect();
    // Writing into a string can't fail.
    let _ = writeln!(out, "{}", words.trim_end());
}
