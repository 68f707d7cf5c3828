//! Columns.

use crate::output::{Paint, Style};

/// One piece of a table.
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

impl Cell {
    /// Text in a colour.
    pub(crate) fn new(text: impl Into<String>, paint: Paint) -> Self {
        Self {
            text: text.into(),
            paint,
        }
    }

    /// Text as it is.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Paint::Plain)
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// A table with a heading, each column as wide as its widest cell, two spaces between.
pub(crate) fn table(style: Style, headings: &[&str], rows: &[Vec<Cell>], indent: &str) -> String {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let cells = rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(Cell::width);
            cells.max().unwrap_or(0).max(heading.chars().count())
        })
        .collect();
    let heading: Vec<Cell> = headings
        .iter()
        .map(|text| Cell::new(*text, Paint::Dim))
        .collect();
    let mut text = line(style, &heading, &widths, indent);
    for row in rows {
        text.push_str(&line(style, row, &widths, indent));
    }
    text
}

fn line(style: Style, cells: &[Cell], widths: &[usize], indent: &str) -> String {
    let mut text = indent.to_owned();
    let last = cells
        .iter()
        .rposition(|cell| !cell.text.is_empty())
        .map_or(0, |at| at + 1);
    for (at, (cell, width)) in cells.iter().zip(widths).take(last).enumerate() {
        text.push_str(&style.paint(cell.paint, &cell.text));
        if at + 1 < last {
            text.push_str(&" ".repeat(width - cell.width() + 2));
        }
    }
    text.push('\n');
    text
}
