//! Tables: which columns there is room for, and cells in them.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;

use super::ink::{self, Slot, Text, Tone};
use crate::paper::Paper;

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// The fewest columns of the screen that it needs.
    pub(crate) width: u16,
    /// Its part of what is left over; 0 keeps its width.
    pub(crate) grow: u16,
    pub(crate) is_right: bool,
    /// Where there is no room, the highest goes first; 0 never goes.
    pub(crate) spare: u8,
}

/// A column on the left.
pub(crate) const fn left(title: &'static str, width: u16, grow: u16, spare: u8) -> Column {
    Column { title, width, grow, is_right: false, spare }
}

/// A column of numbers.
pub(crate) const fn right(title: &'static str, width: u16, spare: u8) -> Column {
    Column { title, width, grow: 0, is_right: true, spare }
}

/// What is between two columns.
const GAP: u16 = 1;

/// The width of each; 0 for those that there is no room for.
pub(crate) fn widths(columns: &[Column], room: u16) -> Vec<u16> {
    let mut widths: Vec<u16> = columns.iter().map(|column| column.width).collect();
    let needed = |widths: &[u16]| -> u16 {
        widths
            .iter()
            .filter(|width| **width > 0)
            .map(|width| width + GAP)
            .sum::<u16>()
            .saturating_sub(GAP)
    };
    while needed(&widths) > room {
        let there =
            (0..columns.len()).filter(|place| widths[*place] > 0 && columns[*place].spare > 0);
        let Some(spared) = there.max_by_key(|place| columns[*place].spare) else { break };
        widths[spared] = 0;
    }
    let left = room.saturating_sub(needed(&widths));
    let grow = |place: usize| if widths[place] > 0 { columns[place].grow } else { 0 };
    let all: u16 = (0..columns.len()).map(grow).sum();
    if let Some(each) = left.checked_div(all) {
        let more: Vec<u16> = (0..columns.len()).map(|place| grow(place) * each).collect();
        let first = (0..columns.len()).find(|place| grow(*place) > 0);
        more.iter().enumerate().for_each(|(place, more)| widths[place] += more);
        if let Some(first) = first {
            widths[first] += left - all * each;
        }
    }
    widths
}

/// The titles, in one line.
pub(crate) fn head(buffer: &mut Buffer, area: Rect, columns: &[Column], paper: &Paper) {
    let titles: Vec<Text> =
        columns.iter().map(|column| ink::text(Tone::Dim, column.title)).collect();
    row(buffer, area, columns, &titles, paper);
}

/// A row, in the first line of the area.
pub(crate) fn row(
    buffer: &mut Buffer,
    area: Rect,
    columns: &[Column],
    cells: &[Text],
    paper: &Paper,
) {
    let mut x = area.x;
    for ((column, width), cell) in columns.iter().zip(widths(columns, area.width)).zip(cells) {
        if width == 0 {
            continue;
        }
        let room = width.min(area.right().saturating_sub(x));
        let slot = Slot { x, y: area.y, width: room, is_right: column.is_right };
        ink::put(buffer, slot, cell, paper);
        x += width + GAP;
    }
}

/// Marks the row under the cursor.
pub(crate) fn mark(buffer: &mut Buffer, area: Rect) {
    let line = Rect { height: 1, ..area };
    buffer.set_style(line.intersection(buffer.area), Modifier::REVERSED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_in_their_order_and_what_is_left_over_is_shared() {
        let columns = [left("a", 10, 1, 0), right("b", 5, 2), left("c", 10, 2, 1)];
        assert_eq!(widths(&columns, 30), [11, 5, 12]);
        assert_eq!(widths(&columns, 27), [10, 5, 10]);
        assert_eq!(widths(&columns, 27 + 2), [12, 5, 10]);
        assert_eq!(widths(&columns, 26), [13, 0, 12]);
        assert_eq!(widths(&columns, 20), [20, 0, 0]);
        assert_eq!(widths(&columns, 3), [10, 0, 0]);
    }
}
